"""Compressed chunks of a column, inflated within bounds.

HDF5's own filters trust what a file says: a chunk that inflates to fewer bytes than it should shows memory that is not
the file's, and one that inflates to more takes all there is. Here a chunk gives exactly its bytes or an error.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rnnzoo.environment import usable_cores
from rnnzoo.format.schema import Column
from rnnzoo.format.shard_layout import Chunk, StoredColumn

MOST_THREADS = 4
BYTES_IN_WORK = 32 * 2**20
"""Of inflated chunks that wait to be written."""


class DamagedChunk(ValueError):
    """A chunk does not hold what it should."""


def inflate(file: memoryview, chunk: Chunk, column: Column, rows: int) -> NDArray[np.uint8]:
    """The rows of one chunk as bytes, uint8 [rows, bytes of a row].

    Args:
        file: all bytes of the file.
        chunk: where it lies in them.
        column: what the rows are of.
        rows: how many rows the chunk has.

    Raises:
        DamagedChunk: they give fewer or more bytes, or none.
    """
    whole = rows * column.row_bytes
    stored = file[chunk.offset : chunk.offset + chunk.size]
    data: bytes | memoryview = stored
    if chunk.deflated:
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(stored, whole + 1)
        except zlib.error as error:
            raise DamagedChunk(f"a chunk is damaged ({error})") from error
        if not stream.eof or stream.unused_data:
            raise DamagedChunk("a chunk does not end where its rows do")
    if len(data) != whole:
        raise DamagedChunk(f"a chunk has {len(data)} bytes or more, its rows have {whole}")
    item = np.dtype(column.dtype).itemsize
    # The shuffle filter stores the first byte of every number, then the second of every number, and so on.
    shuffled = np.frombuffer(data, np.uint8).reshape(item, whole // item)
    items = np.empty((whole // item, item), np.uint8)
    for place in range(item):
        items[:, place] = shuffled[place]
    return items.reshape(rows, column.row_bytes)


def inflated_chunks(file: memoryview, stored: StoredColumn, column: Column) -> Iterator[NDArray[np.uint8]]:
    """All chunks of a column in their order, several in work at a time; see `inflate`.

    Raises:
        DamagedChunk: a chunk is not what it should be.
    """

    def one(chunk: Chunk) -> NDArray[np.uint8]:
        return inflate(file, chunk, column, stored.chunk_rows)

    chunk_bytes = stored.chunk_rows * column.row_bytes
    together = max(1, BYTES_IN_WORK // chunk_bytes)
    with ThreadPoolExecutor(min(MOST_THREADS, usable_cores())) as pool:
        # Each group is awaited before the next begins, which bounds the memory.
        for start in range(0, len(stored.chunks), together):
            yield from pool.map(one, stored.chunks[start : start + together])
