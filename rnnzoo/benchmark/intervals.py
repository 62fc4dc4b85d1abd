"""Means with 95% intervals, of encoders and of differences between them.

Two things vary by chance: which networks a zoo happens to hold, and the seed an encoder was trained with. Networks are
drawn again from the recorded ones, all networks of a task together and then networks within it, each with all its
snapshots (a hierarchical bootstrap, Efron and Tibshirani 1993, chapter 8). Of seeds there are too few to be drawn from:
a bootstrap of three values covers the mean three times out of four. Their share is a draw of Student's t with the
spread between seeds, so that the interval is Student's own where nothing else varies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval, in the unit of the values.

    Attributes:
        mean: over seeds, and over rows where they are known.
        low, high: bounds of the interval; None where nothing tells them.
        seeds: how many.
        networks: how many; 0 where the interval is of seeds alone.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    networks: int = 0


@dataclass(frozen=True)
class Difference(Estimate):
    """An estimate of a difference, and how probable one as large as this is by chance, if there is none (two-sided)."""

    probability: float = 1.0


def over_seeds(values: Iterable[float]) -> Estimate:
    """Mean and Student's interval of one value per seed; values that are not finite leave neither.

    Raises:
        ValueError: there are no values.
    """
    numbers = np.sort(np.asarray(list(values), dtype=np.float64))
    count = len(numbers)
    if not count:
        raise ValueError("an estimate needs at least one value")
    if not np.isfinite(numbers).all():
        return Estimate(math.nan, None, None, count)
    mean = float(numbers.mean())
    if count == 1:
        return Estimate(mean, None, None, 1)
    half = float(student.ppf((1 + CONFIDENCE) / 2, count - 1) * numbers.std(ddof=1) / math.sqrt(count))
    return Estimate(mean, mean - half, mean + half, count)


class Resamples:
    """The networks of some rows, drawn again and again; the same draws for every loss, which pairs what is compared.

    Args:
        tasks: [R] or [R, ...].
        networks: whose snapshot each row is, [R].
    """

    def __init__(self, tasks: NDArray[Any], networks: NDArray[np.integer]) -> None:
        self.ids, first, self.network_of_row = np.unique(networks, return_index=True, return_inverse=True)
        flat = np.asarray(tasks).reshape(len(networks), -1)[first]
        self.task_of_network = np.unique(flat, axis=0, return_inverse=True)[1].reshape(-1)
        self.rows_of_network = np.bincount(self.network_of_row)

    @cached_property
    def counts(self) -> NDArray[np.float64]:
        """How often each network was drawn, [RESAMPLES, networks]."""
        random = np.random.Generator(np.random.Philox(key=0))
        tasks = int(self.task_of_network.max()) + 1
        of_tasks = random.multinomial(tasks, np.full(tasks, 1 / tasks), size=RESAMPLES)
        counts = np.zeros((RESAMPLES, len(self.ids)))
        for task in range(tasks):
            members = np.flatnonzero(self.task_of_network == task)
            shares = np.full(len(members), 1 / len(members))
            counts[:, members] = random.multinomial(of_tasks[:, task] * len(members), shares)
        return counts

    @cached_property
    def rows_drawn(self) -> NDArray[np.float64]:
        """How many rows were drawn, [RESAMPLES]."""
        return self.counts @ self.rows_of_network.astype(np.float64)

    def estimate(self, losses: NDArray[np.floating]) -> Difference:
        """Mean and interval of losses [seeds, R], or of differences between losses of the same seeds and rows.

        With a single seed the interval says nothing of other seeds, so there is none.
        """
        seeds = len(losses)
        networks = len(self.ids)
        if not np.isfinite(losses).all():
            return Difference(math.nan, None, None, seeds, networks)
        by_seed = losses.mean(axis=1, dtype=np.float64)
        mean = float(by_seed.mean())
        tasks = int(self.task_of_network.max()) + 1
        if seeds == 1 or tasks == 1:
            return Difference(mean, None, None, seeds, networks)
        sums = np.bincount(self.network_of_row, losses.mean(axis=0, dtype=np.float64))
        drawn = (self.counts @ sums) / self.rows_drawn
        random = np.random.Generator(np.random.Philox(key=1))
        chance = random.standard_t(seeds - 1, RESAMPLES) * by_seed.std(ddof=1) / math.sqrt(seeds)
        # Drawn means vary less than means do, by the factor that the variance of a sample lacks.
        values = mean + (drawn - mean) * math.sqrt(tasks / (tasks - 1)) + chance
        low, high = np.quantile(values, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
        beyond = min((values <= 0).sum(), (values >= 0).sum())
        probability = min(1.0, 2 * (1 + int(beyond)) / (1 + RESAMPLES))
        return Difference(mean, float(low), float(high), seeds, networks, probability)


def holm(probabilities: Sequence[float]) -> list[float]:
    """Probabilities of several comparisons, each corrected for there being several (Holm 1979), in the same order."""
    corrected, largest = [0.0] * len(probabilities), 0.0
    for rank, index in enumerate(np.argsort(probabilities, kind="stable")):
        largest = max(largest, min(1.0, (len(probabilities) - rank) * probabilities[index]))
        corrected[index] = largest
    return corrected
