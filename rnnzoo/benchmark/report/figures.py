"""The pictures of a report as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

# Chooses a backend that needs no display, before pyplot is imported.
from rnnzoo.zoo.plots import save_figure  # isort: skip
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from rnnzoo.benchmark.report.colours import colourings, palette
from rnnzoo.benchmark.report.contents import Curve, Points, Probes
from rnnzoo.benchmark.report.html import Report
from rnnzoo.benchmark.report.style import Style, label, styles
from rnnzoo.kinds import Colouring, Kind, find_kind

MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "up": "^", "down": "v",
    "star": "*", "plus": "P", "cross": "X", "hexagon": "h",
}  # fmt: skip
COLUMNS = 4
DRAWN_PROBES = 4


def draw_figures(report: Report, folder: Path) -> list[tuple[str, str]]:
    """Draw what there is to draw; returns captions and file names."""
    chosen, kind = styles(report.encoders), find_kind(report.kind)
    first = [points for points in report.points if points.seed == _first_seed(report.points, points.encoder)]
    figures = []
    if report.curves:
        _draw_curves(report.curves, chosen, report.loss, folder / "curves.png")
        figures.append(("Training curves, mean over seeds: thin training loss, thick validation loss", "curves.png"))
    known = [points for points in first if np.isfinite(points.emulated_accuracy).any()]
    if known:
        _draw_accuracies(known, chosen, folder / "accuracy.png")
        figures.append(("Accuracy of the emulator against that of the network, validation, first seed", "accuracy.png"))
    if first:
        for which, colouring in enumerate(colourings(kind, first[0].rows)[:2]):
            name = f"embedding-{'task' if which else 'accuracy'}.png"
            _draw_embeddings(kind, first, which, folder / name)
            caption = f"First two principal components of z by {colouring.name}, validation and ood_test, first seed"
            figures.append((caption, name))
    if report.probes:
        _draw_probes(report.probes, folder / "probes.png")
        figures.append(("Probing sequences learned, the first of the first seed", "probes.png"))
    return figures


def _first_seed(points: Sequence[Points], encoder: str) -> int:
    return min(found.seed for found in points if found.encoder == encoder)


def _draw_curves(curves: Sequence[Curve], chosen: dict[str, Style], loss: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(10, 5.2), layout="constrained")
    for curve in curves:
        style = chosen[curve.encoder]
        dash = (0, style.dash) if style.dash else "solid"
        axes.plot(curve.steps, curve.losses, color=style.light, linewidth=0.8, alpha=0.45)
        axes.plot(
            curve.validation_steps,
            curve.validation_losses,
            color=style.light,
            linestyle=dash,
            marker=MARKERS[style.marker],
            markersize=5,
            label=_plain(curve.encoder),
        )
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.set(xlabel="optimizer steps", ylabel=loss)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(which="both", labelsize=9)
    axes.grid(alpha=0.25, which="both")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    save_figure(figure, path)


def _draw_accuracies(found: Sequence[Points], chosen: dict[str, Style], path: Path) -> None:
    figure, grid = _grid(len(found), 2.7)
    for axes, points in zip(grid.flat, found, strict=False):
        shown = points.rows["split"] == "validation"
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="dashed")
        axes.scatter(
            points.rows["real_accuracy"][shown],
            points.emulated_accuracy[shown],
            s=8,
            alpha=0.5,
            color=chosen[points.encoder].light,
            linewidths=0,
        )
        gap = points.gaps.get("validation", float("nan"))
        axes.set_title(f"{_plain(points.encoder)}\ngap {gap:.3f}", fontsize=9)
        axes.set_aspect("equal")
        axes.set_xticks([0, 0.5, 1])
        axes.set_yticks([0, 0.5, 1])
    _remove_unused(grid, len(found))
    figure.supxlabel("accuracy of the network (share)", fontsize=10)
    figure.supylabel("accuracy of the emulator (share)", fontsize=10)
    save_figure(figure, path)


def _draw_embeddings(kind: Kind, found: Sequence[Points], which: int, path: Path) -> None:
    """All encoders, coloured by one of the colourings; encoders see the same networks, so one bar holds for all."""
    figure, grid = _grid(len(found), 2.5)
    for axes, points in zip(grid.flat, found, strict=False):
        colouring = colourings(kind, points.rows)[which]
        scale = _scale(colouring)
        axes.scatter(*points.projected.T, c=colouring.values, cmap=scale.cmap, norm=scale.norm, s=6, linewidths=0)
        axes.set_title(_plain(points.encoder), fontsize=9)
        axes.set_xlabel(f"component 1 ({points.variance[0]:.0%})", fontsize=8)
        axes.set_ylabel(f"component 2 ({points.variance[1]:.0%})", fontsize=8)
        axes.tick_params(labelsize=7)
    bar = figure.colorbar(scale, ax=grid, aspect=40, label=colouring.name)
    if colouring.classes:
        bar.set_ticks(range(len(colouring.classes)), labels=colouring.classes)
    elif colouring.kind == "cyclic":
        bar.set_ticks(range(0, 361, 90))
    _remove_unused(grid, len(found))
    save_figure(figure, path)


def _scale(colouring: Colouring) -> ScalarMappable:
    count = len(colouring.classes)
    norm = Normalize(-0.5, count - 0.5) if count else Normalize(colouring.low, colouring.high)
    return ScalarMappable(norm, ListedColormap(palette(colouring)))


def _draw_probes(found: Sequence[Probes], path: Path) -> None:
    rows, width, height = len(found), *((15, 1.5) if found[0].symbols else (10, 1.9))
    figure, grid = plt.subplots(rows, DRAWN_PROBES, figsize=(width, height * rows), layout="constrained", squeeze=False)
    for line, probes in zip(grid, found, strict=True):
        for number, axes in enumerate(line):
            if number >= probes.pictures.shape[1]:
                axes.remove()
                continue
            picture = probes.pictures[0, number]
            if probes.symbols:
                _draw_tokens(axes, picture, probes.symbols)
            else:
                axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
                axes.set_axis_off()
            axes.set_title(f"{_plain(probes.encoder)}, probe {number + 1}", fontsize=8)
    save_figure(figure, path)


def _draw_tokens(axes: Axes, shares: np.ndarray, symbols: Sequence[str]) -> None:
    """Distributions [positions, tokens] as columns, in bytes; tokens that hold half are written out."""
    axes.imshow(shares.T, cmap="Blues", vmin=0, vmax=255, aspect="auto")
    for position, token in np.argwhere(shares >= 128):
        axes.text(position, token, symbols[token], ha="center", va="center", color="white", fontsize=7, weight="bold")
    axes.set_yticks(range(shares.shape[1]), symbols, fontsize=7)
    positions = range(0, len(shares), 5)
    axes.set_xticks(positions, [str(position + 1) for position in positions], fontsize=7)
    axes.set_xlabel("position", fontsize=7)


def _grid(count: int, height: float) -> tuple[Figure, np.ndarray]:
    """A figure with room for so many panels of so many inches."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    return plt.subplots(rows, columns, figsize=(2.6 * columns, height * rows), layout="constrained", squeeze=False)


def _remove_unused(grid: np.ndarray, used: int) -> None:
    for axes in grid.flat[used:]:
        axes.remove()


def _plain(encoder: str) -> str:
    """A label that matplotlib does not read as mathematics."""
    return label(encoder).replace("$", r"\$")
