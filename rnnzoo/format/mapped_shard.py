"""One shard, checked once and then read as arrays that stay on disk: no handles, no locks, no HDF5."""

from __future__ import annotations

import hashlib
import mmap
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError
from rnnzoo.files.atomic import atomic_path
from rnnzoo.format import cache
from rnnzoo.format.chunks import DamagedChunk, inflate, inflated_chunks
from rnnzoo.format.schema import Column
from rnnzoo.format.shard_layout import Chunk, ShardPlan, StoredColumn, extent_problems, find_columns

try:
    import fcntl
except ImportError:  # Windows, where a file that is being written cannot be opened at all.
    fcntl = None  # type: ignore[assignment]


class AlteredFile(RnnzooError):
    """A file is missing, or not of the size and checksum that are listed: another copy of it may be."""


class MappedShard:
    """A shard whose bytes are those its manifest lists, and whose structure is what our writer makes.

    Args:
        path: the file.
        plan: what it must be.
        size: its size in bytes.
        sha256: its checksum; None where the caller has compared it.

    Raises:
        AlteredFile: the file is missing, or not of that size or checksum.
        RnnzooError: it is open elsewhere for writing, or built otherwise.
    """

    def __init__(self, path: Path, plan: ShardPlan, size: int, sha256: str | None) -> None:
        self.path = path
        self.plan = plan
        self.sha256 = sha256
        with open_for_reading(path, size) as file:
            self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._stored = _checked_columns(file, self._file, path, plan, sha256)
        self._columns: dict[str, NDArray[np.uint8] | ColumnInPlace] = {}
        for column in plan.columns:
            # NumPy computes nonsense with truth values that are neither 0 nor 1.
            if column.dtype == "bool" and self.column(column)[:].max() > 1:
                raise self.damaged(column, "it holds truth values that are neither true nor false")

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows start <= row < stop of a column by name, by default all: [rows, *shape]."""
        column = next(column for column in self.plan.columns if column.name == name)
        values = np.array(self.column(column)[start:stop])
        return values.view(column.dtype).reshape(len(values), *column.shape)

    def column(self, column: Column) -> NDArray[np.uint8] | ColumnInPlace:
        """A column as bytes, uint8 [rows, bytes of a row]; only what is indexed is read.

        Raises:
            RnnzooError: a value or a compressed chunk is damaged, or the file was cut since it was opened: reading
                beyond its end would end the process.
        """
        if self._file.size() < len(self._file):
            raise RnnzooError(f"{self.path} was truncated after it was opened. {remedy(self.path)}")
        # Two threads may both make one; either is right.
        if column.name not in self._columns:
            self._columns[column.name] = self._found(column)
        return self._columns[column.name]

    def _found(self, column: Column) -> NDArray[np.uint8] | ColumnInPlace:
        stored, rows = self._stored[column.name], self.plan.rows
        if stored.offset is None:
            decoded = self._decoded(column, stored)
            return ColumnInPlace(self, column, stored) if decoded is None else decoded
        array = np.frombuffer(self._file, np.uint8, rows * column.row_bytes, stored.offset)
        return array.reshape(rows, column.row_bytes)

    def chunk(self, column: Column, stored: StoredColumn, index: int) -> NDArray[np.uint8]:
        """The rows of one compressed chunk as bytes; see `inflate`.

        Raises:
            RnnzooError: it is damaged.
        """
        try:
            return inflate(memoryview(self._file), stored.chunks[index], column, stored.chunk_rows)
        except DamagedChunk as error:
            raise self.damaged(column, error) from error

    def damaged(self, column: Column, why: object) -> RnnzooError:
        """The error of a column that cannot be read."""
        return RnnzooError(f"{self.path}: column {column.name!r} cannot be read ({why}). {remedy(self.path)}")

    def _decoded(self, column: Column, stored: StoredColumn) -> NDArray[np.uint8] | None:
        """A compressed column from the cache, decoded now if it is not there; None if there is no room for it."""
        path = self.sha256 and cache.column_path(self.sha256, column.name)
        if not path:
            return None
        found = _cached(path, column, self.plan.rows)
        if found is None:
            try:
                self._decode(path, column, stored)
            except DamagedChunk as error:
                raise self.damaged(column, error) from error
            except (OSError, RnnzooError) as error:
                warnings.warn(f"Traces are read without a cache, which is slow: {error}", stacklevel=2)
                return None
            found = _cached(path, column, self.plan.rows)
        return found

    def _decode(self, path: Path, column: Column, stored: StoredColumn) -> None:
        left = self.plan.rows
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            for rows in inflated_chunks(memoryview(self._file), stored, column):
                file.write(rows[:left].data)
                left -= len(rows)


class ColumnInPlace:
    """A compressed column without a cache: whoever indexes it inflates the chunks that hold those rows."""

    def __init__(self, shard: MappedShard, column: Column, stored: StoredColumn) -> None:
        self.shard = shard
        self.column = column
        self.stored = stored

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> NDArray[np.uint8]:
        """Rows as bytes, uint8 [len(rows), bytes of a row]."""
        numbers = np.arange(self.shard.plan.rows)[rows]
        values = np.empty((len(numbers), self.column.row_bytes), np.uint8)
        chunk_of = numbers // self.stored.chunk_rows
        for index in np.unique(chunk_of):
            chunk = self.shard.chunk(self.column, self.stored, int(index))
            values[chunk_of == index] = chunk[numbers[chunk_of == index] - index * self.stored.chunk_rows]
        return values


def remedy(path: Path) -> str:
    """What brings a sound shard to a path. In the Hub's cache it is a link, and deleting the link leaves the file."""
    if path.is_symlink():
        return f"Delete {path.resolve()} and download the zoo again, or load it by its name."
    return "Fetch or build the zoo again."


@contextmanager
def open_for_reading(path: Path, size: int | None = None) -> Iterator[BufferedReader]:
    """A file that nobody is writing, of a size if one is given.

    Raises:
        AlteredFile: it is missing or of another size.
        RnnzooError: it is not readable, or another process is writing it.
    """
    if not path.is_file():
        raise AlteredFile(f"{path} is missing, though the manifest lists it. {remedy(path)}")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise RnnzooError(f"{path} cannot be read ({error.strerror}).") from error
        _check_nobody_writes(file, path)
        found = os.fstat(file.fileno()).st_size
        if size not in (None, found):
            raise AlteredFile(f"{path} is {found} bytes long, not {size}: it is truncated or altered. {remedy(path)}")
        yield file


def _check_nobody_writes(file: BufferedReader, path: Path) -> None:
    if fcntl is None:
        return
    try:
        # HDF5 holds such a lock on every file it writes; not all file systems know locks.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError as error:
        raise RnnzooError(f"{path} is open in another process that writes to it: wait until that has ended.") from error
    except OSError:
        return


def _checked_columns(
    file: BufferedReader, content: mmap.mmap, path: Path, plan: ShardPlan, sha256: str | None
) -> dict[str, StoredColumn]:
    """Where the columns lie, as remembered of the unchanged file or as its checksum and structure tell."""
    status = os.fstat(file.fileno())
    known = _recalled(status, plan, sha256)
    if known is not None:
        return known
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise AlteredFile(f"{path} is damaged or altered: its SHA-256 is not the manifest's. {remedy(path)}")
    found, problems = find_columns(file, plan)
    if problems:
        raise RnnzooError(f"{path}: {problems[0]}. {remedy(path)}")
    columns = {name: asdict(stored) for name, stored in found.items()}
    cache.remember(status, {"sha256": sha256, "plan": plan.digest, "columns": columns})
    return found


def _recalled(status: os.stat_result, plan: ShardPlan, sha256: str | None) -> dict[str, StoredColumn] | None:
    record = cache.recall(status)
    try:
        if record["sha256"] != sha256 or record["plan"] != plan.digest:
            return None
        columns = {
            name: StoredColumn(
                stored["offset"], tuple(Chunk(**chunk) for chunk in stored["chunks"]), stored["chunk_rows"]
            )
            for name, stored in record["columns"].items()
        }
        whole = set(columns) == {column.name for column in plan.columns}
        return columns if whole and not list(extent_problems(columns, plan, status.st_size)) else None
    except (KeyError, TypeError, AttributeError):
        return None


def _cached(path: Path, column: Column, rows: int) -> NDArray[np.uint8] | None:
    """A decoded column of the cache, if it is there and whole."""
    try:
        with open(path, "rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    if len(content) != rows * column.row_bytes:
        return None
    return np.frombuffer(content, np.uint8).reshape(rows, column.row_bytes)
