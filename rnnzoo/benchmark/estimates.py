"""What results say of encoders: means with intervals, and paired differences, from the losses of single rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.benchmark.intervals import Difference, Estimate, Resamples
from rnnzoo.benchmark.results import Results, mean_of
from rnnzoo.benchmark.run_files import read_arrays


class Estimates:
    """Estimates of emulation, from rows.npz of all seeds where they are there, else from the seeds' means alone.

    Raises:
        RnnzooError: a file of a run is damaged.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        found = {encoder: _rows(results, encoder) for encoder in results.ranking()}
        # Encoders are compared on the same rows, those of the first that has some.
        self._first = next((rows[0] for rows in found.values() if rows), None)
        self._rows = {name: rows for name, rows in found.items() if rows and all(map(self._comparable, rows))}
        self._resamples: dict[str, Resamples] = {}

    def emulation(self, encoder: str, split: str, metric: str) -> Estimate | None:
        """Mean and interval of a metric, over seeds and networks; None if no run has it."""
        losses = self._losses(encoder, split, metric)
        if losses is None:
            return mean_of(self.results.emulation(encoder), split, metric)
        return self._resampled(split).estimate(losses)

    def difference(self, encoder: str, other: str, split: str, metric: str) -> Difference | None:
        """How much larger an encoder's metric is than another's, seed by seed and row by row.

        None where the two have no seeds in common, or no rows.
        """
        ours, theirs = self._by_seed(encoder), self._by_seed(other)
        both = sorted(ours.keys() & theirs.keys())
        if not both:
            return None
        pairs = [(_loss(ours[seed], split, metric), _loss(theirs[seed], split, metric)) for seed in both]
        differences = [one - two for one, two in pairs if one is not None and two is not None]
        if len(differences) < len(both):
            return None
        return self._resampled(split).estimate(np.array(differences))

    def _losses(self, encoder: str, split: str, metric: str) -> NDArray[np.float64] | None:
        """[seeds, R], or None if not all seeds have them."""
        found = [_loss(rows, split, metric) for rows in self._rows.get(encoder, ())]
        return None if not found or any(loss is None for loss in found) else np.array(found)

    def _by_seed(self, encoder: str) -> dict[int, Mapping[str, NDArray[Any]]]:
        seeds = [run.seed for run in self.results.emulation(encoder)]
        return dict(zip(seeds, self._rows.get(encoder, ()), strict=False))

    def _resampled(self, split: str) -> Resamples:
        if split not in self._resamples:
            assert self._first is not None
            chosen = self._first["split"] == split
            self._resamples[split] = Resamples(self._first["task"][chosen], self._first["model_id"][chosen])
        return self._resamples[split]

    def _comparable(self, rows: Mapping[str, NDArray[Any]]) -> bool:
        assert self._first is not None
        return all(np.array_equal(rows[name], self._first[name]) for name in ("split", "model_id", "step", "task"))


def _rows(results: Results, encoder: str) -> list[dict[str, NDArray[Any]]]:
    """The rows of every seed of an encoder, or nothing if a seed has none."""
    found = [read_arrays(results, run, "rows.npz") for run in results.emulation(encoder)]
    return [rows for rows in found if rows] if all(found) else []


def _loss(rows: Mapping[str, NDArray[Any]], split: str, metric: str) -> NDArray[np.float64] | None:
    """A metric of each row of a split, float64 [R]; None if it was not recorded."""
    if metric == "emulated_accuracy_gap":
        values = np.abs(rows.get("real_accuracy", rows["accuracy"]) - rows["emulated_accuracy"])
    elif metric in rows:
        values = rows[metric]
    else:
        return None
    chosen = values[rows["split"] == split].astype(np.float64)
    return chosen if len(chosen) else None
