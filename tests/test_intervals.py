"""Intervals hold what they promise, on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnzoo.benchmark.intervals import Estimate, Resamples, holm, over_seeds

finite = st.floats(-1e3, 1e3)


@given(st.lists(finite, min_size=2, max_size=8))
def test_an_interval_holds_the_mean_and_ignores_the_order_of_seeds(values: list[float]) -> None:
    found = over_seeds(values)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.mean <= found.high
    assert found == over_seeds(reversed(values))


def test_three_seeds_have_students_interval() -> None:
    found = over_seeds([1.0, 2.0, 3.0])
    assert (found.mean, found.seeds) == (2, 3)
    assert found.high == pytest.approx(2 + 4.302653 / np.sqrt(3), abs=1e-5)


def test_one_seed_has_no_interval_and_nothing_finite_is_made_up() -> None:
    assert over_seeds([0.5]) == Estimate(0.5, None, None, 1)
    assert np.isnan(over_seeds([0.5, float("nan")]).mean)
    with pytest.raises(ValueError, match="at least one"):
        over_seeds([])
    resamples = Resamples(np.arange(4), np.arange(4))
    assert resamples.estimate(np.ones((1, 4))).low is None
    found = resamples.estimate(np.array([[1, 2, np.inf, 3], [1, 2, 3, 4]]))
    assert np.isnan(found.mean)
    assert found.low is None


# Where chance lies: in seeds alone, in networks alone, or in both, and in rows besides.
SPREADS = {"seeds": (1.0, 0.0, 0.0), "networks": (0.0, 1.0, 0.5), "both": (0.3, 1.0, 0.5)}
TASKS, NETWORKS_OF_TASK, SNAPSHOTS = 30, 2, 3


@pytest.mark.slow
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("seeds", [3, 5, 15])
def test_intervals_cover_the_truth(seeds: int, spread: str) -> None:
    of_seeds, of_tasks, of_networks = SPREADS[spread]
    networks = np.repeat(np.arange(TASKS * NETWORKS_OF_TASK), SNAPSHOTS)
    tasks = networks // NETWORKS_OF_TASK
    resamples = Resamples(tasks, networks)
    random = np.random.default_rng(seeds)
    covered, trials = 0, 400
    for _ in range(trials):
        losses = (
            of_seeds * random.standard_normal((seeds, 1))
            + of_tasks * random.standard_normal(TASKS)[tasks]
            + of_networks * random.standard_normal(networks.max() + 1)[networks]
            + 0.1 * random.standard_normal((seeds, len(networks)))
        )
        found = resamples.estimate(losses)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert covered / trials >= 0.93


def test_snapshots_of_a_network_are_no_independent_rows() -> None:
    once = Resamples(np.arange(20), np.arange(20))
    nine = Resamples(np.repeat(np.arange(20), 9), np.repeat(np.arange(20), 9))
    losses = np.random.default_rng(0).random((3, 20))
    found, expected = nine.estimate(np.repeat(losses, 9, axis=1)), once.estimate(losses)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_a_paired_difference_is_told_where_intervals_overlap() -> None:
    random = np.random.default_rng(0)
    networks = np.arange(60)
    resamples = Resamples(networks, networks)
    shared = random.random(60)
    one = 0.5 + shared + 0.01 * random.random((3, 60))
    other = one + 0.02
    ours, theirs, difference = map(resamples.estimate, (one, other, other - one))
    assert ours.high is not None
    assert theirs.low is not None
    assert theirs.low < ours.high
    assert difference.low is not None
    assert difference.low > 0
    assert difference.probability < 0.001
    assert resamples.estimate(one - one).probability == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_correction_keeps_the_order_and_lies_between_bonferroni_and_none(values: list[float]) -> None:
    corrected = holm(values)
    for value, found in zip(values, corrected, strict=True):
        assert value <= found <= min(1, max(len(values) * value, max(corrected)))
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()
    assert corrected[order[0]] == min(1, len(values) * values[order[0]])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
