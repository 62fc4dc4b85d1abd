"""Rows as notebooks show them, and their labels as a table of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray

from rnnzoo.format.schema import label_columns

if TYPE_CHECKING:
    import pandas

    from rnnzoo.rows.selection import Selection

_PAGE = """\
<div>
<p><strong>{{ kind }}</strong>: {{ "{:,}".format(rows) }} rows, {{ network }}<br>{{ origin }}</p>
{% for heading, lines in tables %}
<table>
<thead><tr>{% for name in heading %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for line in lines %}
<tr>{% for value in line %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% endfor %}
<details><summary>{{ columns | length }} columns</summary>
<table>
<thead><tr><th>column</th><th>dtype</th><th>shape</th><th>unit</th><th>meaning</th></tr></thead>
<tbody>
{% for column in columns %}
<tr><td>{{ column.name }}</td><td>{{ column.dtype }}</td><td>{{ column.shape | join(", ") }}</td>\
<td>{{ column.unit }}</td><td>{{ column.description }}</td></tr>
{% endfor %}
</tbody>
</table>
</details>
</div>
"""


def html_of(rows: Selection) -> str:
    """Rows as a piece of HTML: how many there are of each split, and the mean of each metric at each step."""
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(_PAGE)
        .render(
            kind=rows.kind.name,
            rows=len(rows),
            network=rows.network.describe(),
            origin=rows.origin,
            tables=[_by_split(rows), _by_step(rows)],
            columns=rows.columns,
        )
    )


def label_frame(rows: Selection) -> pandas.DataFrame:
    """See `Zoo.to_pandas`."""
    import pandas

    values = {column.name: rows.column(column.name) for column in label_columns(rows.columns)}
    cells = {name: array if array.ndim == 1 else _as_tuples(array.tolist()) for name, array in values.items()}
    return pandas.DataFrame({**cells, "split": rows.split_of()})


def _as_tuples(values: list[Any]) -> list[Any]:
    """Lists of lists as lists of tuples, which can be grouped by."""
    return [tuple(_as_tuples(value)) if isinstance(value, list) else value for value in values]


def _by_split(rows: Selection) -> tuple[list[str], list[list[str]]]:
    splits, steps = rows.split_of(), rows.column("step")
    present = [step for step in rows.snapshots if (steps == step).any()]
    lines = [[name, *(_count((splits == name) & (steps == step)) for step in present)] for name in rows.split_names]
    return ["networks of split", *(f"at step {step:,}" for step in present)], lines


def _by_step(rows: Selection) -> tuple[list[str], list[list[str]]]:
    metrics, lines = list(rows.kind.metrics_of(rows.columns)), []
    for step in rows.snapshots:
        at_step = rows.at_step(step)
        means = [_mean(at_step.column(metric)) for metric in metrics]
        if len(at_step):
            lines.append([f"{step:,}", *means])
    return ["mean at step", *(metric.replace("_", " ") for metric in metrics)], lines


def _count(mask: NDArray[np.bool_]) -> str:
    return f"{int(mask.sum()):,}"


def _mean(values: NDArray[Any]) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.3f}" if len(finite) else "none finite"
