"""Arrays of the original release on disk: .npy files whose headers are checked before anything is read by them."""

from __future__ import annotations

import io
import math
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError
from rnnzoo.files.safe_paths import check_place

BLOCK_ROWS = 64
"""Rows held in memory at once while checking and copying."""
HEADER_BYTES = 1024
"""Header of a .npy file, at most: NumPy's have 128, and it evaluates them as Python literals."""


@dataclass(frozen=True)
class StoredArray:
    """A .npy array on disk, of which only the rows asked for are ever in memory.

    Attributes:
        path: the file.
        dtype: type of its numbers.
        shape: its shape, rows first; the file has exactly the bytes that this takes.
        offset: where its numbers begin.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(len(self))
        row = math.prod(self.shape[1:])
        # Read, not mapped: a mapping counts every page it has shown as memory in use, and ends the process where a
        # file becomes shorter.
        values = np.fromfile(
            self.path, self.dtype, (stop - start) * row, offset=self.offset + start * row * self.dtype.itemsize
        )
        if len(values) != (stop - start) * row:
            raise RnnzooError(f"{self.path} became shorter while it was read: copy it again.")
        return values.reshape(stop - start, *self.shape[1:])


def open_array(folder: Path, name: str) -> StoredArray:
    """A .npy file of a folder, once its header is sound and the file has exactly the bytes that it states.

    Raises:
        RnnzooError: the file is missing, lies elsewhere, or is damaged, truncated or no .npy file.
    """
    path = folder / name
    if not path.is_file():
        raise RnnzooError(f"{path} is missing: copy the whole folder of the original release.")
    check_place(folder, name)
    try:
        with open(path, "rb") as file:
            start = io.BytesIO(file.read(HEADER_BYTES))
        version = np.lib.format.read_magic(start)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"it has format version {version[0]}.{version[1]}")
        read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(start, max_header_size=HEADER_BYTES)
        if not shape or min(shape) < 1:
            raise ValueError(f"its shape is {shape}, and every axis must have an entry")
        if fortran_order:
            raise ValueError("its numbers are in Fortran order")
        size = start.tell() + math.prod(shape) * dtype.itemsize
        if path.stat().st_size != size:
            raise ValueError(f"it has {path.stat().st_size} bytes, and its header says {size}")
    except (OSError, ValueError, TypeError, LookupError, SyntaxError, tokenize.TokenError) as error:
        raise RnnzooError(f"{path} is damaged or truncated ({error}): copy it again.") from error
    return StoredArray(path, dtype, shape, start.tell())


def blocks(rows: int) -> Iterator[slice]:
    """Row ranges of at most `BLOCK_ROWS`."""
    return (slice(start, min(start + BLOCK_ROWS, rows)) for start in range(0, rows, BLOCK_ROWS))
