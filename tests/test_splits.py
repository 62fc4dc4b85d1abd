from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnzoo.format.schema import SPLITS
from rnnzoo.generation.kinds.formal_languages import offsets_entropy
from rnnzoo.generation.recipes import SplitRule
from rnnzoo.generation.splits import assign_splits, held_out_count

offsets = st.tuples(*[st.integers(-3, 2)] * 3)


@settings(max_examples=60)
@given(st.lists(offsets, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_no_task_is_in_two_splits_and_order_does_not_matter(tasks: list, random) -> None:
    values = np.array(tasks)
    split = assign_splits(values, offsets_entropy, SplitRule())
    by_task: dict[tuple, set] = {}
    for task, index in zip(tasks, split.tolist(), strict=True):
        by_task.setdefault(task, set()).add(index)
    assert all(len(found) == 1 for found in by_task.values())
    order = list(range(len(tasks)))
    random.shuffle(order)
    assert np.array_equal(assign_splits(values[order], offsets_entropy, SplitRule()), split[order])
    unique = len(by_task)
    for name in ("validation", "ood_test"):
        held = sum(found == {SPLITS.index(name)} for found in by_task.values())
        assert held == held_out_count(unique, 0.15)


@given(st.lists(offsets, min_size=10, max_size=60, unique=True))
def test_the_most_even_tasks_are_out_of_distribution(tasks: list) -> None:
    values = np.array(tasks)
    split = assign_splits(values, offsets_entropy, SplitRule())
    entropy = offsets_entropy(values)
    ood = split == SPLITS.index("ood_test")
    assert entropy[ood].min() >= entropy[~ood].max()


def test_the_seed_moves_validation_only() -> None:
    tasks = np.array([(a, b, c) for a in range(-3, 3) for b in range(-3, 3) for c in range(-3, 3)])
    first, second = (assign_splits(tasks, offsets_entropy, SplitRule(seed=seed)) for seed in (0, 1))
    ood = SPLITS.index("ood_test")
    assert np.array_equal(first == ood, second == ood)
    assert not np.array_equal(first, second)
    assert np.bincount(first).tolist() == [152, 32, 32]


def test_entropy_by_hand() -> None:
    # (0, 0, 0, 0) shifts to (1, 1, 1, 1): as even as can be.
    even, uneven = offsets_entropy(np.array([(0, 0, 0), (0, 0, 2)]))
    assert np.isclose(even, np.log(4))
    shares = np.array([1, 1, 1, 3]) / 6
    assert np.isclose(uneven, -(shares * np.log(shares)).sum())


def test_small_zoos_have_every_split_as_soon_as_there_are_tasks_for_it() -> None:
    assert [held_out_count(n, 0.15) for n in (1, 2, 3, 10, 16, 216)] == [0, 0, 1, 2, 2, 32]
