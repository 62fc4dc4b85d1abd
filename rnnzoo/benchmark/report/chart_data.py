"""The data of a report's pictures, as tables for JSON."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.image import imsave

from rnnzoo.benchmark.report.contents import Points, Probes, Report
from rnnzoo.benchmark.report.style import label
from rnnzoo.kinds import Colouring, classes_of, find_kind


def datasets(report: Report) -> dict[str, dict[str, Any]]:
    """The data of all pictures by name: names of columns, and rows of numbers rounded to what a screen can show."""
    rows: dict[bytes, int] = {}
    points: list[Sequence[Any]] = []
    described: list[Sequence[Any]] = []
    gaps: list[Sequence[Any]] = []
    for found in report.points:
        # Encoders see the same rows, so these are written once.
        key = b"".join(np.ascontiguousarray(array).tobytes() for array in found.rows.values())
        if key not in rows:
            rows[key] = len(described)
            described += _described(report, found, len(described))
        name, seed = label(found.encoder), found.seed
        columns = (*found.projected.T.round(3), found.total_variation.round(4), found.emulated_accuracy.round(3))
        values = zip(*(column.tolist() for column in columns), strict=True)
        points += [(name, seed, row, *numbers) for row, numbers in enumerate(values, rows[key])]
        gaps += [
            (f"{name}|{seed}|{split}", f"gap {gap:.3f}") for split, gap in found.gaps.items() if math.isfinite(gap)
        ]
    curves = [
        (label(curve.encoder), kind, int(step), float(f"{loss:.5g}"), curve.seeds)
        for curve in report.curves
        for kind, steps, losses in (
            ("training", curve.steps, curve.losses),
            ("validation", curve.validation_steps, curve.validation_losses),
        )
        for step, loss in zip(steps, losses, strict=True)
        if loss > 0
    ]
    coloured = [f"colour{number}" for number in range(len(colourings(report, report.points[0])) if points else 0)]
    tables = {
        "curves": _table(("encoder", "kind", "step", "loss", "seeds"), curves),
        "points": _table(("encoder", "seed", "row", "x", "y", "variation", "emulated"), points),
        "rows": _table(("row", "model", "step", "split", "task", "accuracy", "real", *coloured), described),
        "gaps": _table(("key", "gap"), gaps),
    }
    for number, probes in enumerate(report.probes):
        tables[f"probes{number}"] = _probe_table(probes)
    return tables


def colourings(report: Report, points: Points) -> list[Colouring]:
    """Every colouring of rows that the kind of zoo knows, accuracy first, then the task."""
    kind, rows = find_kind(report.kind), points.rows
    accuracy = Colouring("accuracy (share)", rows["accuracy"], "range")
    return [accuracy, *kind.task_colourings(rows["task"]), classes_of("training step", rows["step"])]


def _described(report: Report, points: Points, first: int) -> list[Sequence[Any]]:
    """What the zoo says of each row, as strings and rounded numbers."""
    kind, rows = find_kind(report.kind), points.rows
    distinct, numbers = np.unique(rows["task"], axis=0, return_inverse=True)
    texts = [kind.task_text(task) for task in distinct]
    colours = [
        [colouring.classes[int(value)] for value in colouring.values]
        if colouring.kind == "classes"
        else np.round(colouring.values.astype(float), 3).tolist()
        for colouring in colourings(report, points)
    ]
    columns = (
        range(first, first + len(numbers)),
        rows["model_id"].tolist(),
        rows["step"].tolist(),
        rows["split"].tolist(),
        [texts[number] for number in numbers.reshape(-1)],
        rows["accuracy"].astype(float).round(3).tolist(),
        rows["real_accuracy"].astype(float).round(3).tolist(),
        *colours,
    )
    return list(zip(*columns, strict=True))


def _probe_table(probes: Probes) -> dict[str, Any]:
    """Shares of tokens above a hundredth, or pictures as PNG files in base64."""
    if not probes.symbols:
        found = [
            (network, number + 1, _png(picture))
            for network, drawn in zip(probes.networks, probes.pictures, strict=True)
            for number, picture in enumerate(drawn)
        ]
        return _table(("network", "probe", "picture"), found)
    shares = probes.pictures / 255
    sent = [
        (probes.networks[network], probe + 1, position + 1, probes.symbols[token], round(float(share), 2))
        for (network, probe, position, token), share in np.ndenumerate(shares)
        if share > 0.01
    ]
    return _table(("network", "probe", "position", "token", "share"), sent)


def _png(picture: np.ndarray) -> str:
    file = io.BytesIO()
    imsave(file, picture, cmap="gray", vmin=0, vmax=255, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Names of columns and rows for JSON: whole numbers as integers, and None for what is not finite."""
    return {"names": names, "rows": [[_number(value) for value in row] for row in rows]}


def _number(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if not math.isfinite(value) else int(value) if value == int(value) else value
