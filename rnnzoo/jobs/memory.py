"""How much memory this process takes, and what it does with what was freed."""

from __future__ import annotations

import ctypes
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> None:
    """Keep freed memory for the next request instead of handing it back to the system, from now on.

    Every training step asks for the same large tensors again. The C library of most Linux systems fetches each anew,
    and the system clears them page by page, which takes a sixth to a third of the step of an encoder that works on
    large tensors. Where the C library has no such setting, nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)


def take_at_most(more: int) -> None:
    """Let this process take so many more bytes of memory, and fail beyond; where there is no Linux, nothing changes."""
    taken = Path("/proc/self/statm")
    if taken.is_file():
        import resource

        most = int(taken.read_text().split()[0]) * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
