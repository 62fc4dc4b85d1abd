"""What the points of an embedding can be coloured by: accuracy, the task, the training step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap, to_hex
from numpy.typing import NDArray

from rnnzoo.kinds import Colouring, Kind, classes_of

SEQUENTIAL = colormaps["viridis"]
# Dark, yellow, light, blue: no two look alike to any colour vision, and none vanishes on a dark or light background.
CYCLIC = LinearSegmentedColormap.from_list("cyclic", ("#4e3b5c", "#d98a1f", "#9fcbab", "#3f7fd6", "#4e3b5c"), N=257)
"""Ends as it begins, because 359 degrees is next to 0."""
GRADIENT_COLOURS = 65


def palette(colouring: Colouring) -> list[str]:
    """Colours as hexadecimal RGB: one per class, or a gradient from `low` to `high`."""
    colours = CYCLIC if colouring.kind == "cyclic" else SEQUENTIAL
    # The ends of a sequential map vanish on a dark or on a light background.
    first, last = (0.0, 1.0) if colouring.kind == "cyclic" else (0.08, 0.97)
    count = len(colouring.classes) if colouring.kind == "classes" else GRADIENT_COLOURS
    return [to_hex(colours(position)) for position in np.linspace(first, last, max(count, 1))]


def colourings(kind: Kind, rows: Mapping[str, NDArray[Any]]) -> list[Colouring]:
    """Every colouring of rows that a kind of zoo knows, accuracy first, then the task."""
    accuracy = Colouring("accuracy (share)", rows["accuracy"], "range")
    return [accuracy, *kind.task_colourings(rows["task"]), classes_of("training step", rows["step"])]
