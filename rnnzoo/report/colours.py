"""What the points of an embedding can be coloured by: accuracy, the task, the training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap, to_hex
from numpy.typing import NDArray

SEQUENTIAL = colormaps["viridis"]
# Dark, yellow, light, blue: no two look alike to any colour vision, and none vanishes on a dark or light background.
CYCLIC = LinearSegmentedColormap.from_list("cyclic", ("#4e3b5c", "#d98a1f", "#9fcbab", "#3f7fd6", "#4e3b5c"), N=257)
"""Ends as it begins, because 359 degrees is next to 0."""
GRADIENT_COLOURS = 65


@dataclass(frozen=True)
class Colouring:
    """One way to colour points.

    Attributes:
        name: with the unit.
        values: [R].
        kind: "classes" if `values` are numbers of `classes`, "range" or "cyclic" if they lie between `low` and `high`.
        classes: what each class is, in order.
    """

    name: str
    values: NDArray[Any]
    kind: str
    low: float = 0.0
    high: float = 1.0
    classes: tuple[str, ...] = ()

    def palette(self) -> list[str]:
        """Colours as hexadecimal RGB: one per class, or a gradient from `low` to `high`."""
        colours = CYCLIC if self.kind == "cyclic" else SEQUENTIAL
        # The ends of a sequential map vanish on a dark or on a light background.
        first, last = (0.0, 1.0) if self.kind == "cyclic" else (0.08, 0.97)
        count = len(self.classes) if self.kind == "classes" else GRADIENT_COLOURS
        return [to_hex(colours(position)) for position in np.linspace(first, last, max(count, 1))]


def colourings(rows: Mapping[str, NDArray[Any]]) -> list[Colouring]:
    """Every colouring of rows that a zoo knows, accuracy first, then the task."""
    task = rows["task"]
    found = [Colouring("accuracy (share)", rows["accuracy"], "range")]
    if task.ndim == 1:
        found.append(Colouring("angle (degrees)", task % 360, "cyclic", 0, 360))
    else:
        names = [f"m_{letter}" for letter in "bcd"]
        found += [_classes(f"task: {name}", task[:, index]) for index, name in enumerate(names)]
        found.append(_classes(f"task: {' + '.join(names)}", task.sum(axis=1)))
    found.append(_classes("training step", rows["step"]))
    return found


def _classes(name: str, values: NDArray[np.integer]) -> Colouring:
    known, numbers = np.unique(values, return_inverse=True)
    return Colouring(name, numbers.reshape(-1), "classes", classes=tuple(f"{value:,}" for value in known.tolist()))
