"""Pictures of a zoo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from numpy.typing import NDArray

from rnnzoo.files.atomic import atomic_path

if TYPE_CHECKING:
    from rnnzoo.kinds import Curve
    from rnnzoo.zoo.zoo import Zoo

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SPLIT_COLOURS = {"train": "#4477aa", "validation": "#ccaa33", "ood_test": "#cc3355"}
"""Distinguishable with any colour vision (after Paul Tol's schemes)."""
OTHER_SPLIT = "#777777"


def plot_curves(zoo: Zoo, curves: Sequence[Curve], path: Path) -> None:
    """Draw columns of numbers over optimizer steps, coloured by split, as a PNG."""
    figure, drawn = plt.subplots(1, len(curves), figsize=(5.5 * len(curves), 4.2), layout="constrained", squeeze=False)
    for axes, curve in zip(drawn[0], curves, strict=True):
        _over_steps(axes, zoo, curve.column, curve.label)
        if curve.scale == "share":
            axes.set_ylim(-0.02, 1.02)
        else:
            axes.set_yscale(curve.scale)
    handles, labels = drawn[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"{zoo.manifest.zoo}: {zoo.manifest.recipe['models']} models, {zoo.network.describe()}")
    save_figure(figure, path)


def _over_steps(axes: Axes, zoo: Zoo, column: str, label: str) -> None:
    """One line per model, coloured by split, and a black mean."""
    steps = np.array(zoo.snapshots)
    values = zoo[column].reshape(-1, len(steps))
    splits = zoo.split_of()[:: len(steps)]
    step_axis(axes, steps)
    alpha = float(np.clip(12 / max(len(values), 1), 0.06, 0.6))
    for name in zoo.manifest.splits:
        colour = SPLIT_COLOURS.get(name, OTHER_SPLIT)
        lines = values[splits == name]
        if len(lines):
            axes.plot(steps, lines.T, color=colour, alpha=alpha, linewidth=1)
            axes.plot([], [], color=colour, label=f"{name} ({len(lines)})")
    axes.plot(steps, np.nanmean(values, axis=0), color="black", linewidth=2, marker="o", markersize=4, label="mean")
    axes.set_ylabel(label)


def step_axis(axes: Axes, steps: NDArray[np.integer]) -> None:
    """Optimizer steps on a logarithmic axis that has room for 0."""
    positive = steps[steps > 0]
    threshold = float(positive[0]) if len(positive) else 1.0
    axes.set_xscale("symlog", linthresh=threshold, linscale=0.6)
    axes.set_xticks(steps, [f"{step:,}" for step in steps], rotation=45)
    axes.minorticks_off()
    axes.set_xlabel("optimizer steps")
    axes.grid(alpha=0.25)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all, and release it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    plt.close(figure)
