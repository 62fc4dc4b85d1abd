"""Compiled kernels on disk: kept between runs, forgotten as soon as any kernel's source changes.

Numba keys its cache by the file that holds the entry function and by what that function closes over, not by
the other modules it calls. So every entry function closes over the digest of all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def digest_of_sources(*files: str | Path) -> str:
    """SHA-256 of these source files and of the building blocks in this package."""
    everything: Iterable[Path] = [*sorted(Path(__file__).parent.glob("*.py")), *map(Path, files)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in everything)).hexdigest()


def is_compiled(kernel: Any) -> bool:
    """Whether a cached kernel can run at once: compiled in this process, or on disk for this processor."""
    if kernel.signatures:
        return True
    cache = kernel._cache
    wanted = cache._index_key((), kernel.targetctx.codegen())[1:]
    return any(key[1:] == wanted for key in cache._cache_file._load_index())
