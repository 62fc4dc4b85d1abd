from __future__ import annotations

import threading

import pytest

from rnnzoo.jobs.side_by_side import side_by_side


def test_every_item_is_done_and_several_at_once() -> None:
    together = threading.Barrier(3, timeout=60)
    done = []

    def work(item: int) -> None:
        together.wait()
        done.append(item)

    side_by_side(work, range(9), threads=3)
    assert sorted(done) == list(range(9))
    side_by_side(work, [], threads=3)


def test_after_a_failure_nothing_is_begun() -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 2:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        side_by_side(work, range(9), threads=1)
    assert begun == [0, 1, 2]
