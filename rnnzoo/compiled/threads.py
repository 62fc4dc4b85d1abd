"""Populations of networks split among PyTorch's own threads.

PyTorch's threads go on spinning for milliseconds after each of its operations. Threads beside them would share the
cores with theirs, and compiled passes that alternate with PyTorch's operations take half as long again.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch

_Work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def split(networks: int, count: int) -> list[tuple[int, int]]:
    """The first network of each of `count` parts, and the first of the next."""
    return list(pairwise(networks * part // count for part in range(count + 1)))


def in_parts(parts: Sequence[tuple[int, int]], do: Callable[[int, int], object]) -> None:
    """Do all parts at once; what is done must release Python's lock for that.

    Args:
        parts: what `split` made; at most as many as there are threads, if none is to wait.
        do: called with the two numbers of each part, on any thread.
    """
    run_parallel = _run_parallel()
    if len(parts) == 1:
        do(*parts[0])
    elif run_parallel is None:
        with ThreadPoolExecutor(len(parts)) as threads:
            list(threads.map(lambda part: do(*part), parts))
    else:
        waiting, errors = iter(list(parts)), list[BaseException]()

        def work(_: object) -> None:
            try:
                for part in waiting:
                    do(*part)
            except BaseException as error:
                errors.append(error)

        run_parallel(_Work(work), None, 0, 0)
        if errors:
            raise errors[0]


@lru_cache
def _run_parallel() -> Callable[..., None] | None:
    """OpenMP's function that runs another one on each of the calling thread's workers; None where it cannot be had."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        function = ctypes.CDLL(str(library)).GOMP_parallel
    except (AttributeError, OSError):
        return None
    function.argtypes, function.restype = (_Work, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None
    return function
