"""Names for compiled functions that differ only in what they close over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def named(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`njit` for one of several functions that a factory makes, under a name that no other of them has.

    Numba tells compiled functions apart by name and by a number that counts the functions of the process that compiled
    them. Kernels from the disk cache come from different processes, so two functions of one name may have the same
    number, and then one silently takes the place of the other.
    """

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__qualname__ = f"{function.__qualname__}_{name}"
        return njit(function)

    return compiled
