"""Re-run the recorded inputs of a zoo's rows through their weights, and compare what the networks answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnzoo.zoo.zoo import Zoo

ABSOLUTE_TOLERANCE = 2e-3
RELATIVE_TOLERANCE = 2e-3
"""A re-run log-probability x of a stored y must satisfy |x - y| <= 0.002 + 0.002 |y|: two float16 roundings
(2**-11 relative each) and the float32 rounding errors of another order of summation."""
ROWS_AT_ONCE = 16


Advance = Callable[[int, int], None]
"""Told (done, total) during long checks."""


def rerun_traces(zoo: Zoo, rows: NDArray[np.integer], advance: Advance) -> tuple[tuple[str, ...], str]:
    """Re-run recorded inputs through the weights and compare what the networks answer.

    Args:
        zoo: a zoo whose values lie in the ranges of the schema.
        rows: which rows, by number.
        advance: told of the progress.

    Returns:
        The rows whose recorded answers their weights do not give, and what was seen in all.
    """
    compare = _compare_logits if "logits" in (column.name for column in zoo.columns) else _compare_log_probs
    problems = []
    worst = 0.0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = zoo[rows[start : start + ROWS_AT_ONCE]]
        largest, excess = compare(part)
        worst = max(worst, largest)
        for row in np.flatnonzero(excess > 0):
            problems.append(
                f"{file_of(zoo, int(part.row_numbers[row]))}: column 'log_probs' of {part[int(row)]} is not what its "
                f"weights give (beyond tolerance by {excess[row]:.4f})"
            )
        advance(min(start + ROWS_AT_ONCE, len(rows)), len(rows))
    tolerance = f"|difference| <= {ABSOLUTE_TOLERANCE} + {RELATIVE_TOLERANCE} |value|"
    return tuple(problems), f"largest difference {worst:.5f} nats, {tolerance}"


def _compare_log_probs(rows: Zoo) -> tuple[float, NDArray[np.float32]]:
    """The largest difference between recorded and re-run log-probabilities, and the excess of each row."""
    again, stored = rows.run(rows.recorded_inputs()), rows["log_probs"].astype(np.float32)
    return float(np.abs(again - stored).max()), trace_excess(again, stored)


def _compare_logits(rows: Zoo) -> tuple[float, NDArray[np.float32]]:
    """As `_compare_log_probs`, where logits were released and log-probabilities derived from them.

    Rounding large logits to float16 moves log-probabilities beyond the tolerance, so logits are compared, up to a
    constant per position, which no softmax sees; and log-probabilities with the log-softmax of the logits.
    """
    import torch

    from rnnzoo.networks.lstm import run_logits

    with torch.no_grad():
        weights, inputs = torch.from_numpy(rows["weights"]), torch.from_numpy(rows.recorded_inputs())
        again = run_logits(rows.network, weights, inputs).numpy()
    stored = rows["logits"].astype(np.float32)
    difference = np.abs((again - again.mean(-1, keepdims=True)) - (stored - stored.mean(-1, keepdims=True)))
    excess = difference - (ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(stored).max(-1, keepdims=True))
    normalised = torch.log_softmax(torch.from_numpy(stored), dim=-1).numpy()
    derived = trace_excess(normalised, rows["log_probs"].astype(np.float32))
    return float(difference.max()), np.maximum(_worst_of_rows(excess), derived)


def trace_excess(again: NDArray[np.float32], stored: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the worst log-probability of each row lies beyond the tolerance, in nats; <= 0 is within."""
    excess = np.abs(again - stored) - (ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(stored))
    return _worst_of_rows(excess)


def _worst_of_rows(excess: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(excess, nan=np.inf).reshape(len(excess), -1).max(axis=1)


def file_of(zoo: Zoo, row: int) -> Path:
    """The shard that holds a row of the whole zoo."""
    starts = np.cumsum([file.rows for file in zoo.manifest.files])
    return zoo.folder / zoo.manifest.files[int(np.searchsorted(starts, row, side="right"))].path
