"""The report of a benchmark: report.html, report.md and the pictures of the latter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rnnzoo.benchmark.estimates import Estimates
from rnnzoo.benchmark.report.comparison import compare_encoders
from rnnzoo.benchmark.report.contents import Report, missing_files, read_curves, read_points, read_probes
from rnnzoo.benchmark.report.html import render_page
from rnnzoo.benchmark.report.markdown import render_markdown, render_tables
from rnnzoo.benchmark.report.sentences import (
    describe_differences,
    describe_loss,
    describe_runs,
    encoder_settings,
    failures,
    missing_runs,
    software,
)
from rnnzoo.benchmark.report.tables import downstream_tables, emulation_lines, row_label
from rnnzoo.benchmark.results import Results, read_results
from rnnzoo.errors import UsageError
from rnnzoo.files.atomic import write_text

if TYPE_CHECKING:
    from rich.table import Table

PAGE_NAME, MARKDOWN_NAME, FIGURES_NAME = "report.html", "report.md", "figures"


def write_report(folder: Path) -> Path:
    """Write report.html, report.md and figures/*.png into a results folder, from the runs that are there.

    Args:
        folder: results, with runs.jsonl and runs/.

    Returns:
        The path of report.html.

    Raises:
        RnnzooError: there are no finished runs, a file is damaged, or the folder cannot be written.
    """
    from rnnzoo.benchmark.report.charts import write_pictures

    report = collect_report(read_results(folder))
    figures = write_pictures(report, folder / FIGURES_NAME)
    write_text(folder / MARKDOWN_NAME, render_markdown(report, [(text, f"{FIGURES_NAME}/{n}") for text, n in figures]))
    write_text(folder / PAGE_NAME, render_page(report))
    return folder / PAGE_NAME


def collect_report(results: Results) -> Report:
    """Everything a report shows.

    Raises:
        RnnzooError: a file of a run is damaged.
    """
    first, further = downstream_tables(results)
    estimates = Estimates(results)
    profiles = ", ".join(dict.fromkeys(run.record["profile"] for run in results.runs))
    missing = [f"Not run yet: {text}." for text in missing_runs(results)]
    missing += [f"Failed: {text}" for text in failures(results)]
    missing += missing_files(results)
    return Report(
        title=f"Weight encoders on {results.kind}, profile {profiles}",
        kind=results.kind,
        introduction=(describe_runs(results), describe_differences(results)),
        missing=tuple(missing),
        emulation=emulation_lines(results, estimates),
        comparison=compare_encoders(results, estimates),
        downstream=tuple(first),
        further=tuple(further),
        loss=describe_loss(results),
        curves=tuple(read_curves(results)),
        points=tuple(read_points(results)),
        probes=tuple(read_probes(results)),
        settings=encoder_settings(results),
        software=software(results),
    )


def baseline_tables(folder: Path, recipe_hash: str) -> str:
    """What a zoo's card says of the encoders that were compared on it, in Markdown.

    Args:
        folder: results.
        recipe_hash: of the zoo.

    Raises:
        UsageError: the results are of another zoo.
        RnnzooError: there are no finished runs, or a line of runs.jsonl is damaged.
    """
    results = read_results(folder)
    if results.zoo["recipe_hash"] != recipe_hash:
        raise UsageError(
            f"{folder} has results of a zoo with recipe {results.zoo['recipe_hash'][:16] or 'unknown'}, but this one's "
            f"is {recipe_hash[:16]}: give the folder that `rnnzoo eval` wrote for this zoo."
        )
    tables = [emulation_lines(results, Estimates(results)), *downstream_tables(results)[0]]
    return render_tables(describe_runs(results), tables)


def emulation_table(folder: Path) -> Table:
    """The emulation table for a terminal.

    Raises:
        RnnzooError: there are no finished runs, or a line of runs.jsonl is damaged.
    """
    from rich.table import Table as TerminalTable
    from rich.text import Text

    results = read_results(folder)
    table = emulation_lines(results, Estimates(results))
    shown = TerminalTable(title=f"{table.title}: means and 95% intervals, validation")
    shown.add_column("encoder", overflow="fold")
    # A terminal is 80 characters wide: the numbers that decide, and what they cost.
    kept = {
        ("total variation ↓", "validation"): "total variation ↓",
        ("total variation ↓", "paper"): "the paper's",
        ("emulated accuracy gap ↓", "validation"): "emulated accuracy gap ↓",
        ("cost", "ms / step"): "ms / step",
    }
    for heading in kept.values():
        shown.add_column(heading, justify="right", min_width=max(map(len, heading.split())))
    for line in table.lines:
        cells = []
        for head in kept:
            cell = line.cells[table.heads.index(head)]
            style = "bold green" if cell.best else "dim" if line.rail else ""
            cells.append(Text(" ".join(part for part in (cell.text, cell.interval) if part), style=style))
        shown.add_row(Text(row_label(line), style="dim italic" if line.rail else ""), *cells)
    return shown
