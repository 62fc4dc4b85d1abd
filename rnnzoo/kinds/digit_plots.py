"""Pictures of an smnist zoo: accuracy over training by angle and by weight decay, and what the models looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from rnnzoo.kinds.digits import to_images
from rnnzoo.zoo.plots import save_figure, step_axis

if TYPE_CHECKING:
    from rnnzoo.zoo.zoo import Model, Zoo

MODELS_DRAWN = 4
TRACES_DRAWN = 12
WEIGHT_DECAY_COLOURS = ("#4477aa", "#228833", "#ccbb44", "#cc3355", "#aa3377", "#66ccee")
"""Distinguishable with any colour vision (after Paul Tol's schemes)."""


def plot_digits(zoo: Zoo, path: Path) -> None:
    """Draw every model's evaluation accuracy over optimizer steps, coloured by its angle and by its weight decay,
    and the first traces of some models at their last snapshot as the images they saw, as a PNG.
    """
    last = zoo.at_step(zoo.snapshots[-1])
    spread = np.linspace(0, len(last) - 1, min(MODELS_DRAWN, len(last))).astype(int)
    drawn = np.argsort(last["task"], kind="stable")[spread]
    heights = (4.2, 0.9 * len(drawn) + 0.5)
    figure = plt.figure(figsize=(11.5, sum(heights)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    recipe = zoo.manifest.recipe
    above.suptitle(f"smnist on {recipe['tasks']['dataset']}: {recipe['models']} models, {zoo.network.describe()}")
    left, right = above.subplots(1, 2, sharey=True)
    _accuracy_by_angle(above, left, zoo)
    _accuracy_by_weight_decay(right, zoo)
    _traces(below, [last[int(index)] for index in drawn])
    save_figure(figure, path)


def _accuracy_by_angle(figure: Figure | SubFigure, axes: Axes, zoo: Zoo) -> None:
    step_axis(axes, np.array(zoo.snapshots))
    # A cyclic scale, because 359 degrees is next to 0.
    scale = ScalarMappable(Normalize(0, 360), colormaps["hsv"])
    angles = zoo["task"][:: len(zoo.snapshots)]
    for accuracy, angle in zip(_accuracies(zoo), angles, strict=True):
        axes.plot(zoo.snapshots, accuracy, color=scale.to_rgba(angle), alpha=_opacity(zoo), linewidth=1)
    figure.colorbar(scale, ax=axes, label="angle (degrees)", ticks=range(0, 361, 90))
    axes.set_ylabel("evaluation accuracy (share of images)")
    axes.set_ylim(-0.02, 1.02)


def _accuracy_by_weight_decay(axes: Axes, zoo: Zoo) -> None:
    step_axis(axes, np.array(zoo.snapshots))
    decays = zoo["weight_decay"][:: len(zoo.snapshots)]
    accuracies = _accuracies(zoo)
    for index, decay in enumerate(np.unique(decays)):
        colour = WEIGHT_DECAY_COLOURS[index % len(WEIGHT_DECAY_COLOURS)]
        lines = accuracies[decays == decay]
        axes.plot(zoo.snapshots, lines.T, color=colour, alpha=_opacity(zoo), linewidth=1)
        axes.plot(zoo.snapshots, lines.mean(axis=0), color=colour, linewidth=2, label=f"{decay:g} ({len(lines)})")
    axes.legend(title="weight decay (models), mean", loc="best")


def _traces(figure: SubFigure, models: list[Model]) -> None:
    labelled = "labels" in (column.name for column in models[0].zoo.columns)
    truth = "its class and " if labelled else ""
    figure.suptitle(f"first traces at step {models[0].step:,}: the image as the model saw it, {truth}its answer")
    for axes, model in zip(figure.subplots(len(models), 1, squeeze=False)[:, 0], models, strict=True):
        images = to_images(model["tiles"][:TRACES_DRAWN])
        answers = model["log_probs"][:TRACES_DRAWN, -1].argmax(axis=-1)
        strip = np.concatenate([np.pad(image, 2) for image in images], axis=1)
        axes.imshow(strip, cmap="gray_r", vmin=0, vmax=255)
        width = strip.shape[1] // len(images)
        captions = [str(answer) for answer in answers]
        if labelled:
            captions = [f"{label} > {answer}" for label, answer in zip(model["labels"], answers, strict=False)]
        axes.set_xticks(np.arange(len(images)) * width + width / 2, captions)
        axes.set_yticks([])
        axes.tick_params(length=0)
        axes.set_ylabel(f"{model.task:.0f}°", rotation=0, ha="right", va="center")


def _accuracies(zoo: Zoo) -> np.ndarray:
    """Evaluation accuracy [models, snapshots]."""
    return zoo["eval_accuracy"].reshape(-1, len(zoo.snapshots))


def _opacity(zoo: Zoo) -> float:
    return float(np.clip(40 * len(zoo.snapshots) / max(len(zoo), 1), 0.08, 0.9))
