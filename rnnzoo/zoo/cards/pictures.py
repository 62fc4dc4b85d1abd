"""The pictures on a card: small PNG files, the same for the same zoo and version of Matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rnnzoo.kinds.kind import Colouring, Curve
from rnnzoo.zoo.plots import OTHER_SPLIT, SPLIT_COLOURS, step_axis

if TYPE_CHECKING:
    from rnnzoo.zoo.zoo import Zoo

TRAINING, LABELS = "pictures/training.png", "pictures/labels.png"
BAND = (0.05, 0.95)
"""Shares of the networks between which a band lies."""
MOST_PANELS = 4
MOST_BARS = 16
BINS = 30


def draw_pictures(zoo: Zoo) -> dict[str, bytes]:
    """PNG files by their path in the repository; fewer where a zoo has no numbers to draw."""
    drawn = {LABELS: _labels(zoo)}
    curves = zoo.kind.curves_of(zoo.columns)
    return {TRAINING: _training(zoo, curves), **drawn} if curves else drawn


def _training(zoo: Zoo, curves: Sequence[Curve]) -> bytes:
    """Columns of numbers over optimizer steps: the median of every split, and a band that has most networks."""
    figure, panels = _figure(len(curves))
    steps, split_of = np.array(zoo.snapshots), zoo.split_of()[:: len(zoo.snapshots)]
    for axes, curve in zip(panels, curves, strict=True):
        values = zoo[curve.column].astype(np.float64).reshape(-1, len(steps))
        step_axis(axes, steps)
        for split in zoo.manifest.splits:
            low, median, high = _quantiles(values[split_of == split])
            colour = SPLIT_COLOURS.get(split, OTHER_SPLIT)
            axes.plot(steps, median, color=colour, marker="o", markersize=3, label=split)
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        if curve.scale == "share":
            axes.set_ylim(-0.02, 1.02)
        else:
            axes.set_yscale(curve.scale)
        # Labels of columns may be long, and panels are low.
        axes.set_ylabel(curve.label, fontsize="small")
    return _png(figure)


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower bound, median and upper bound of each column's finite values, [3, columns]; NaN where it has none."""
    shares = (BAND[0], 0.5, BAND[1])
    finite = [column[np.isfinite(column)] for column in values.T]
    return np.array([np.quantile(c, shares) if len(c) else np.full(3, np.nan) for c in finite]).T


def _labels(zoo: Zoo) -> bytes:
    """How many networks of every split have which task, and how well they do in the end."""
    last = zoo.at_step(zoo.snapshots[-1])
    drawn = zoo.kind.task_colourings(last["task"])[: MOST_PANELS - 1]
    metrics, headline = zoo.kind.metrics_of(zoo.columns), zoo.kind.headline(last)
    if np.isfinite(headline).any():
        low, high = np.nanmin(headline), np.nanmax(headline)
        title = f"{metrics[0].replace('_', ' ')} at step {zoo.snapshots[-1]:,}"
        drawn.append(Colouring(title, headline, "range", float(low), float(high)))
    figure, panels = _figure(len(drawn))
    for axes, colouring in zip(panels, drawn, strict=True):
        _histogram(axes, colouring, last.split_of(), list(zoo.manifest.splits))
    panels[0].set_ylabel("networks")
    return _png(figure)


def _histogram(axes: Axes, colouring: Colouring, split_of: NDArray[np.str_], splits: Sequence[str]) -> None:
    """Networks by value, those of the splits on top of each other."""
    if colouring.kind == "classes":
        edges = np.arange(len(colouring.classes) + 1) - 0.5
    else:
        low, high = colouring.low, colouring.high
        edges = np.linspace(low, high, BINS + 1) if low < high else np.array([low - 0.5, low + 0.5])
    values = [colouring.values[split_of == split] for split in splits]
    axes.hist(
        [part[np.isfinite(part)] for part in values],
        bins=edges.tolist(),
        stacked=True,
        rwidth=0.9 if colouring.kind == "classes" else 1,
        color=[SPLIT_COLOURS.get(split, OTHER_SPLIT) for split in splits],
        label=list(splits),
    )
    if colouring.kind == "classes":
        shown = np.unique(np.linspace(0, len(colouring.classes) - 1, MOST_BARS).astype(int))
        axes.set_xticks(shown, [colouring.classes[number] for number in shown])
    axes.set_xlabel(colouring.name)


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.2 * panels, 3.4), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _png(figure: Figure) -> bytes:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90)
    return file.getvalue()
