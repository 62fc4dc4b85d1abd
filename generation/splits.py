"""Split a zoo by task: no task in two splits, all snapshots of a model together (paper section 5.1).

The tasks of largest criterion are out of distribution; of the rest, a random share validates. Both choices
depend only on the set of tasks and the split seed, never on the order of models or files.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rnnzoo.format.schema import SPLITS
from rnnzoo.generation.randomness import Purpose, random_words
from rnnzoo.generation.recipes import SplitRule


def held_out_count(tasks: int, share: float) -> int:
    """How many of the unique tasks a held-out split gets: rounded, at least one where there are three."""
    if share == 0:
        return 0
    return max(int(tasks * share + 0.5), 1 if tasks >= len(SPLITS) else 0)


def assign_splits(
    tasks: NDArray, criterion: Callable[[NDArray], NDArray[np.float64]], rule: SplitRule
) -> NDArray[np.int8]:
    """The split of each model, as an index into `SPLITS`: int8 [M].

    Args:
        tasks: [M, ...] one task per model; equal tasks get equal splits.
        criterion: number per task; the largest are out of distribution, ties broken by the task itself.
        rule: shares and seed.
    """
    flat = np.asarray(tasks).reshape(len(tasks), -1)
    unique, inverse = np.unique(flat, axis=0, return_inverse=True)
    ood = held_out_count(len(unique), rule.ood_test)
    validation = held_out_count(len(unique), rule.validation)
    by_criterion = np.lexsort((*unique.T[::-1], criterion(unique)))
    rest = by_criterion[: len(unique) - ood]
    chosen = rest[np.argsort(_random_keys(unique[rest], rule.seed), kind="stable")[:validation]]
    split = np.zeros(len(unique), dtype=np.int8)
    split[by_criterion[len(unique) - ood :]] = SPLITS.index("ood_test")
    split[chosen] = SPLITS.index("validation")
    return split[inverse.reshape(-1)]


def _random_keys(tasks: NDArray, seed: int) -> NDArray[np.uint64]:
    """A random number per task that depends on the task's value alone: uint64 [N]."""
    values = np.ascontiguousarray(tasks, dtype=np.float64).view(np.uint64)
    keys = np.zeros(len(tasks), dtype=np.uint64)
    for value in values.T:
        mixed = (value ^ keys) ^ ((value ^ keys) >> np.uint64(32))
        words = random_words(seed, mixed & np.uint64(0xFFFFFFFF), Purpose.SPLIT, 0, 2).astype(np.uint64)
        keys = words[:, 0] << np.uint64(32) | words[:, 1]
    return keys
