"""Parts of a population on PyTorch's own threads, and on others where these cannot be had."""

from __future__ import annotations

import pytest

import rnnzoo.compiled.threads
from rnnzoo.compiled.threads import in_parts, split


@pytest.mark.parametrize("own", [True, False], ids=["PyTorch's threads", "other threads"])
def test_parts_are_all_done_and_errors_come_out(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not own:
        monkeypatch.setattr(rnnzoo.compiled.threads, "_run_parallel", lambda: None)
    done: list[tuple[int, int]] = []
    in_parts(split(10, 4), lambda first, last: done.append((first, last)))
    assert sorted(done) == [(0, 2), (2, 5), (5, 7), (7, 10)]

    def fail(first: int, last: int) -> None:
        raise KeyError(first)

    with pytest.raises(KeyError):
        in_parts(split(10, 2), fail)
