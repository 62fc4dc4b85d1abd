"""The report as Markdown, with pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence

from rnnzoo.benchmark.report.contents import Report
from rnnzoo.benchmark.report.style import label
from rnnzoo.benchmark.report.tables import Cell, Line, Table, row_label
from rnnzoo.zoo.cards.markdown_text import escape


def render_markdown(report: Report, figures: Sequence[tuple[str, str]]) -> str:
    """The report's text; everything that comes from results is escaped.

    Args:
        report: what it shows.
        figures: pictures as (caption, path relative to the report).
    """
    parts = [f"# {escape(report.title)}", *(escape(text) for text in report.introduction)]
    if report.missing:
        parts += ["Not all is there:", "\n".join(f"- {escape(text)}" for text in report.missing)]
    parts += ["## Emulation", f"**{escape(report.comparison)}**", _table(report.emulation)]
    if figures:
        parts.append("## Pictures")
        parts += [f"![{escape(caption)}]({path})\n\n{escape(caption)}" for caption, path in figures]
    parts.append("## Downstream properties")
    parts.append(
        "A predictor on the frozen embedding, against the same encoder trained end to end on the labels from scratch. "
        "Predictors learn from the train split and half of the ood_test tasks; ood_test stands for the other half."
        if report.downstream
        else "There are no downstream runs."
    )
    for table in (*report.downstream, *report.further):
        parts += [f"### {escape(table.title)}", _table(table)]
    parts.append("## How it was run")
    settings = [f"- {escape(label(encoder))}: {escape(text)}" for encoder, text in report.settings.items()]
    parts += ["\n".join(settings), escape(report.software)]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_tables(introduction: str, tables: Sequence[Table]) -> str:
    """Tables without the rest of a report, to stand below a heading of the second level."""
    return "\n\n".join([escape(introduction), *(f"### {escape(table.title)}\n\n{_table(table)}" for table in tables)])


def _table(table: Table) -> str:
    if not table.lines:
        return "There are no such runs."
    heads = [name if group == "cost" else f"{group}, {name}" for group, name in table.heads]
    lines = [
        f"| encoder | {' | '.join(escape(head) for head in heads)} |",
        f"| --- |{' ---: |' * len(heads)}",
        *(_line(line) for line in table.lines),
    ]
    return escape(table.meaning[:1].upper() + table.meaning[1:]) + "\n\n" + "\n".join(lines)


def _line(line: Line) -> str:
    name = escape(row_label(line))
    return f"| {f'*{name}*' if line.rail else name} | {' | '.join(_cell(cell) for cell in line.cells)} |"


def _cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text} ({cell.interval})" if cell.interval else text
