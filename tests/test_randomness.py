from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnzoo.generation.randomness import (
    Purpose,
    integers_below,
    philox,
    random_words,
    symmetric_floats,
    unit_floats,
)

words32 = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("counter", "seed", "expected"),
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_published_answers(counter: tuple, seed: int, expected: tuple) -> None:
    assert tuple(int(word) for word in philox(counter, seed)) == expected


@given(st.integers(0, 2**64 - 1), st.lists(words32, min_size=1, max_size=5), words32, st.integers(1, 30))
def test_a_models_words_do_not_depend_on_the_other_models(seed: int, ids: list, step: int, count: int) -> None:
    together = random_words(seed, ids, Purpose.BATCH, step, count)
    for row, model in zip(together, ids, strict=True):
        assert np.array_equal(row, random_words(seed, model, Purpose.BATCH, step, count))
        assert np.array_equal(row[: count // 2], random_words(seed, model, Purpose.BATCH, step, count // 2))


def test_streams_differ_by_model_purpose_step_and_seed() -> None:
    streams = [
        random_words(seed, model, purpose, step, 4).tobytes()
        for seed in (0, 1, 2**40)
        for model in (0, 1)
        for purpose in Purpose
        for step in (0, 1)
    ]
    assert len(set(streams)) == len(streams)


@given(st.integers(0, 2**32), st.integers(1, 1000))
def test_integers_stay_below_their_bound(seed: int, bound: int) -> None:
    drawn = integers_below(random_words(seed, 0, Purpose.TASK, 0, 200), bound)
    assert drawn.min() >= 0
    assert drawn.max() < bound


def test_numbers_are_uniform() -> None:
    words = random_words(3, np.arange(100), Purpose.BATCH, 5, 1000).ravel()
    unit = unit_floats(words)
    assert unit.dtype == np.float32
    assert 0 <= unit.min() < 1e-4
    assert 1 - 1e-4 < unit.max() < 1
    symmetric = symmetric_floats(words, 0.25)
    assert symmetric.min() >= -0.25
    assert symmetric.max() < 0.25
    # Five standard errors of the mean of 100,000 uniform numbers.
    assert abs(unit.mean() - 0.5) < 5 * (1 / 12 / words.size) ** 0.5
    counts = np.bincount(integers_below(words, 10), minlength=10)
    assert np.abs(counts - 10_000).max() < 5 * 10_000**0.5
