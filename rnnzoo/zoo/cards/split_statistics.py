"""The numbers on a card: how well the networks of each split do, and how that came about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rnnzoo.zoo.zoo import Zoo

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of the headline metric."""


@dataclass(frozen=True)
class Summary:
    """Some rows of a zoo in numbers; NaN where no value is finite.

    Attributes:
        name: of the split, or the step.
        models: networks.
        diverged: how many of them have weights that are not finite.
        means: of every metric, in the order of `Kind.metrics_of`.
        quantiles: of the headline metric, at `SHARES`.
    """

    name: str
    models: int
    diverged: int
    means: tuple[float, ...]
    quantiles: tuple[float, ...]


def by_split(zoo: Zoo) -> list[Summary]:
    """The networks of every split after their last update."""
    last = zoo.at_step(zoo.snapshots[-1])
    return [_summary(name, last.split(name)) for name in zoo.manifest.splits]


def by_step(zoo: Zoo) -> list[Summary]:
    """The networks of all splits at every snapshot."""
    return [_summary(f"{step:,}", zoo.at_step(step)) for step in zoo.snapshots]


def _summary(name: str, rows: Zoo) -> Summary:
    metrics = rows.kind.metrics_of(rows.columns)
    headline = _finite(rows.kind.headline(rows))
    return Summary(
        name=name,
        models=len(rows),
        diverged=int(rows["diverged"].sum()),
        means=tuple(_mean(rows[metric]) for metric in metrics),
        quantiles=tuple(np.quantile(headline, SHARES).tolist()) if len(headline) else (math.nan,) * len(SHARES),
    )


def _mean(values: NDArray[np.floating]) -> float:
    finite = _finite(values)
    return float(finite.mean()) if len(finite) else math.nan


def _finite(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return values[np.isfinite(values)].astype(np.float64)
