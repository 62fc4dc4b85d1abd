"""The pages on scale say what the JSON beside them says, and the schedule on paper is one that could happen.

The JSON is kept with the project: these tests find a page that was changed by hand, or results without their page. They
say nothing of the numbers themselves, which only the benchmark measures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from large_zoo_table import LARGE_ZOO  # noqa: E402
from loading_table import LOADING  # noqa: E402
from scaling_table import SCALING  # noqa: E402
from schedule_simulation import simulate  # noqa: E402
from zoo_scales_table import ZOO_SCALES  # noqa: E402


@pytest.mark.parametrize(
    ("block", "page"),
    [
        (LARGE_ZOO, "docs/performance.md"),
        (LOADING, "docs/performance.md"),
        (SCALING, "docs/clusters.md"),
        (ZOO_SCALES, "README.md"),
    ],
)
def test_the_pages_are_made_from_their_json(block, page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text()
    copy = tmp_path / "page.md"
    copy.write_text(text)
    block.rewrite(copy, ROOT / "benchmarks" / "results")
    assert copy.read_text() == text
    assert len(block.render_all(ROOT / "benchmarks" / "results")) > 500


def test_equal_units_come_in_waves() -> None:
    assert simulate([10.0] * 8, 4) == 20.0
    assert simulate([10.0] * 9, 4, start=3.0) == 33.0
    assert simulate([10.0] * 3, 64) == 10.0
    assert simulate([30.0, 1.0, 1.0, 1.0], 2) == 30.0


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=50), st.integers(1, 70))
def test_no_schedule_is_faster_than_its_work_nor_slower_than_a_list_schedule(
    seconds: list[float], workers: int
) -> None:
    end = simulate(seconds, workers)
    assert end >= max(max(seconds), sum(seconds) / workers) - 1e-9
    assert end <= sum(seconds) / workers + max(seconds) + 1e-9


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=30), st.integers(1, 8), st.integers(0, 1000))
def test_losses_cost_time_and_never_more_than_all_attempts(seconds: list[float], workers: int, seed: int) -> None:
    end = simulate(seconds, workers, start=1.0, lost=0.3, attempts=3, seed=seed)
    assert end <= 1.0 + 3 * sum(seconds) + 3 * len(seconds) + 1e-9
    assert simulate(seconds, workers, lost=1.0, seed=seed) == 0.0
