"""The tables of a report, as data that HTML, Markdown and the terminal render alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from statistics import median

from rnnzoo.benchmark.estimates import Estimates
from rnnzoo.benchmark.intervals import Estimate
from rnnzoo.benchmark.report.style import label
from rnnzoo.benchmark.results import RAILS, Results, Run, mean_of, published_losses
from rnnzoo.kinds import find_kind
from rnnzoo.kinds.properties import Metric

MODES = ("frozen", "supervised")
SPLITS = ("validation", "ood_test")
DASH = "\u2013"
"""Between the bounds of an interval, and where there is no number."""
WORSE = "\u2020"
"""Marks what the constant rail beats."""


@dataclass(frozen=True)
class Cell:
    """One number: its text, its interval if it has one, and whether no encoder but a rail shows a better one."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One encoder's row; rails are set apart."""

    encoder: str
    rail: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table: title, what it shows, the heads of its columns as (group, column), and its lines."""

    title: str
    meaning: str
    heads: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]

    def groups(self) -> list[tuple[str, int]]:
        """The groups of columns, as (name, number of columns)."""
        return [(name, len(list(heads))) for name, heads in groupby(self.heads, key=itemgetter(0))]


def _decimals(count: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{count}f}"


def _significant(value: float) -> str:
    return f"{value:#.3g}".removesuffix(".")


def emulation_lines(results: Results, estimates: Estimates) -> Table:
    """The emulation table: the rails around the encoders, which are sorted by validation total variation."""
    shown = (
        ("total_variation", "total variation ↓", _decimals(4)),
        ("reverse_kl", "reverse KL (nats) ↓", _decimals(4)),
        ("emulated_accuracy_gap", "emulated accuracy gap ↓", _decimals(3)),
    )
    encoders = [name for name in results.ranking() if results.emulation(name)]
    columns: list[list[Cell]] = []
    heads: list[tuple[str, str]] = []
    for metric, words, show in shown:
        for split in SPLITS:
            heads.append((words, split))
            found = [estimates.emulation(name, split, metric) for name in encoders]
            columns.append(_column(encoders, found, show, higher_is_better=False))
            if (metric, split) == ("total_variation", "validation"):
                heads.append((words, "paper"))
                paper = published_losses(results.kind)
                columns.append([_cell(paper.get(name), _decimals(3)) for name in encoders])
    heads += [("cost", "parameters"), ("cost", "ms / step"), ("cost", "seeds")]
    costs = [_costs(results.emulation(name)) for name in encoders]
    columns += [list(column) for column in zip(*costs, strict=True)]
    meaning = (
        f"Means and 95% intervals, {_what_varies(estimates)}. {WORSE} worse than the constant z. "
        "Total variation lies between 0 and 1. The emulated accuracy "
        "gap is the absolute difference between the accuracy of the emulator and that of the network, as a share, "
        "averaged over networks. The paper's numbers are of the validation split of its own zoo, after full training, "
        "with 15 seeds. Parameters are those of the encoder; "
        "milliseconds per step, the median of the seeds, those of a training update without validation or compilation."
    )
    return Table("Emulation", meaning, tuple(heads), _lines(encoders, columns))


def downstream_tables(results: Results) -> tuple[list[Table], list[Table]]:
    """A table of every property's most telling metric, and the tables of all other metrics."""
    recorded = dict.fromkeys(run.record["property"] for run in results.runs if run.kind == "downstream")
    known = {known.name: known.metrics for known in find_kind(results.kind).properties()}
    first: list[Table] = []
    further: list[Table] = []
    for asked in sorted(recorded, key=lambda name: (list(known).index(name) if name in known else len(known), name)):
        for index, metric in enumerate(_metrics_of(results, asked, known.get(asked, ()))):
            (further if index else first).append(_downstream_table(results, asked, metric))
    return first, further


def _metrics_of(results: Results, asked: str, known: Sequence[Metric]) -> list[Metric]:
    """The metrics of a property that were recorded, those that its kind of zoo knows first."""
    runs = [run for run in results.runs if run.kind == "downstream" and run.record["property"] == asked]
    names = dict.fromkeys(name for run in runs for values in run.metrics.values() for name in values)
    others = [Metric(name, name) for name in names if name not in {metric.name for metric in known}]
    return [*(metric for metric in known if metric.name in names), *others]


def _downstream_table(results: Results, asked: str, metric: Metric) -> Table:
    show = _significant if metric.decimals is None else _decimals(metric.decimals)
    groups = {"frozen": "frozen embedding", "supervised": "trained end to end"}
    encoders = [name for name in results.ranking() if any(results.downstream(name, asked, mode) for mode in MODES)]
    columns: list[list[Cell]] = []
    heads: list[tuple[str, str]] = []
    for mode in MODES:
        for split in SPLITS:
            heads.append((groups[mode], split))
            found = [mean_of(results.downstream(encoder, asked, mode), split, metric.name) for encoder in encoders]
            columns.append(_column(encoders, found, show, metric.higher_is_better))
    title = f"{asked.replace('_', ' ')}: {metric.name.replace('_', ' ')}"
    seeds = max(len(results.downstream(name, asked, mode)) for name in encoders for mode in MODES)
    better = "higher" if metric.higher_is_better else "lower"
    meaning = f"{metric.words}; {better} is better; 95% intervals are Student's, over {seeds} seed{'s' * (seeds > 1)}"
    return Table(title, meaning, tuple(heads), _lines(encoders, columns))


def _what_varies(estimates: Estimates) -> str:
    """What intervals of a table of emulation are over."""
    found = [estimates.emulation(name, "validation", "total_variation") for name in estimates.results.ranking()]
    networks = max((value.networks for value in found if value), default=0)
    if not networks:
        return "Student's, over seeds"
    return f"over seeds and networks, {networks} of them in validation (a hierarchical bootstrap)"


def _costs(runs: Sequence[Run]) -> tuple[Cell, Cell, Cell]:
    sizes = sorted({run.record["parameters"] for run in runs})
    times = [1000 * found for run in runs if (found := seconds_per_update(run))]
    duration = f"{median(times):.1f}" if times else DASH
    size = DASH.join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))
    return Cell(size), Cell(duration), Cell(str(len(runs)))


def seconds_per_update(run: Run) -> float | None:
    """Time of an update of a run; of older results all of its training, validation and compilation included."""
    if run.record.get("seconds_per_update"):
        return float(run.record["seconds_per_update"])
    seconds, steps = run.record["seconds"].get("training"), run.record["config"].get("steps")
    return seconds / steps if seconds and steps else None


def _column(
    encoders: Sequence[str], found: Sequence[Estimate | None], show: Callable[[float], str], higher_is_better: bool
) -> list[Cell]:
    """Cells with the best of the encoders marked, and those that show the same number; rails do not compete."""
    every = {name: value.mean for name, value in zip(encoders, found, strict=True) if value}
    sign = 1 if higher_is_better else -1
    useless = sign * every.get("constant", -sign * math.inf)
    worse = {name for name, mean in every.items() if name not in RAILS and sign * mean < useless}
    means = {name: mean for name, mean in every.items() if name not in {*RAILS, *worse} and not math.isnan(mean)}
    best = show((max if higher_is_better else min)(means.values())) if means else ""
    equal = {name for name, mean in means.items() if show(mean) == best}
    if len(equal) == len(means):
        equal = set()
    return [_cell(value, show, name in equal, name in worse) for name, value in zip(encoders, found, strict=True)]


def _cell(value: Estimate | None, show: Callable[[float], str], best: bool = False, worse: bool = False) -> Cell:
    if value is None:
        return Cell(DASH)
    if math.isnan(value.mean):
        return Cell("not finite")
    return Cell(show(value.mean) + (f" {WORSE}" if worse else ""), interval_text(value, show), best)


def interval_text(value: Estimate, show: Callable[[float], str]) -> str:
    """An interval's bounds, empty if there is none."""
    if value.low is None or value.high is None:
        return ""
    return f"{show(value.low)}{DASH if value.low >= 0 else ' to '}{show(value.high)}"


def _lines(encoders: Sequence[str], columns: Sequence[Sequence[Cell]]) -> tuple[Line, ...]:
    cells = zip(*columns, strict=True)
    return tuple(Line(name, name in RAILS, row) for name, row in zip(encoders, cells, strict=True))


def row_label(line: Line) -> str:
    """An encoder's label in a table."""
    return f"{label(line.encoder)} (rail)" if line.rail else label(line.encoder)
