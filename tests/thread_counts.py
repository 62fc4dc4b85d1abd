"""The same work with one of PyTorch's threads and with three."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def with_one_and_three_threads(work: Callable[[], Result]) -> tuple[Result, Result]:
    """What the work gives with one thread, and with three."""
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(work())
    finally:
        torch.set_num_threads(before)
    one, three = results
    return one, three
