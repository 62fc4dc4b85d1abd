"""The rows of all shards of a zoo: read rows of columns, whatever shard they lie in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.environment import usable_cores
from rnnzoo.errors import RnnzooError
from rnnzoo.format.chunks import MOST_THREADS
from rnnzoo.format.manifest import Manifest, ShardFile
from rnnzoo.format.mapped_shard import AlteredFile, ColumnInPlace, MappedShard, open_for_reading
from rnnzoo.format.schema import Column
from rnnzoo.format.shard_layout import ShardPlan, find_columns
from rnnzoo.hub.downloads import fetch_again

LARGE_ROW = 1024
"""Bytes from which copying rows one by one costs less than gathering them and copying what was gathered."""
MOST_OPEN_FILES = 4096


@dataclass(frozen=True)
class Part:
    """Rows that one shard holds.

    Attributes:
        shard: its number.
        rows: row numbers in it.
        at: the places of these rows among all that are asked for.
        together: they follow each other.
    """

    shard: int
    rows: NDArray[np.integer]
    at: slice | NDArray[np.integer]
    together: bool


class ShardReader:
    """The rows of a zoo's shards, numbered through all files in manifest order.

    A shard is looked at when a row of it is first asked for. Mappings of files are shared by all threads and by forked
    processes; copies sent to other processes make their own.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.files = manifest.files
        self.columns = {column.name: column for column in manifest.columns}
        self.starts = np.cumsum([0, *(file.rows for file in self.files)])
        self._starts = self.starts.tolist()
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_shard", "_opened")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @property
    def rows(self) -> int:
        """Rows in all shards."""
        return int(self.starts[-1])

    def locate(self, rows: NDArray[np.integer]) -> list[Part]:
        """Which shards hold rows, and where: the same for every column."""
        if len(rows) == 1:
            shard = bisect_right(self._starts, rows[0]) - 1
            return [Part(shard, rows - self._starts[shard], slice(None), together=True)]
        shard_of = np.searchsorted(self.starts, rows, side="right") - 1
        shards = np.unique(shard_of).tolist()
        parts = []
        for shard in shards:
            at = slice(None) if len(shards) == 1 else np.flatnonzero(shard_of == shard)
            within = rows[at] - self._starts[shard]
            parts.append(Part(shard, within, at, together=bool((np.diff(within) == 1).all())))
        return parts

    def read(self, name: str, parts: Sequence[Part], rows: int) -> NDArray[Any]:
        """A column's values in rows that were located, in their order: [rows, *shape].

        Args:
            name: the column.
            parts: see `locate`.
            rows: how many they are.

        Raises:
            RnnzooError: a shard is missing or not what the manifest lists.
        """
        column = self.columns[name]
        values = np.empty((rows, *column.shape), dtype=column.dtype)
        target = values.reshape(-1).view(np.uint8).reshape(rows, column.row_bytes)
        self._open_together([part.shard for part in parts], column)
        for part in parts:
            _copy(self._shard(part.shard).column(column), part, target)
        return values

    def _forget(self) -> None:
        """Start without any mapping; the least recently used are given up as new ones are made."""
        self._opened: set[tuple[int, str]] = set()
        files_of_a_shard = 1 + sum(column.trace for column in self.columns.values())
        self._shard = lru_cache(max(1, _most_open_files() // files_of_a_shard))(self._open_shard)

    def _open_together(self, shards: Sequence[int], column: Column) -> None:
        """Check and decode shards several at a time, when they are first needed."""
        new = [shard for shard in shards if (shard, column.name) not in self._opened]
        if len(new) > 1:
            with ThreadPoolExecutor(min(MOST_THREADS, usable_cores())) as pool:
                list(pool.map(lambda shard: self._shard(shard).column(column), new))
        self._opened.update((shard, column.name) for shard in new)

    def _open_shard(self, shard: int) -> MappedShard:
        listed = self.files[shard]
        path, plan = self.folder / listed.path, plan_of(self.manifest, listed)
        try:
            return MappedShard(path, plan, listed.size, listed.sha256)
        except AlteredFile:
            if not fetch_again(path, listed):
                raise
        return MappedShard(path, plan, listed.size, listed.sha256)


def plan_of(manifest: Manifest, listed: ShardFile) -> ShardPlan:
    """What a shard must be."""
    return ShardPlan.of_zoo(manifest.zoo, manifest.recipe_hash, manifest.columns, listed.rows, listed.split)


def shard_problems(folder: Path, manifest: Manifest, listed: ShardFile) -> list[str]:
    """Everything in which a shard's structure departs from what the manifest says, each naming the file."""
    path = folder / listed.path
    try:
        with open_for_reading(path) as file:
            _, problems = find_columns(file, plan_of(manifest, listed))
    except RnnzooError as error:
        return [str(error)]
    return [f"{path}: {problem}" for problem in problems]


def _copy(source: NDArray[np.uint8] | ColumnInPlace, part: Part, target: NDArray[np.uint8]) -> None:
    """Copy rows of a column, as bytes, to where a part says."""
    if part.together:
        first = int(part.rows[0])
        target[part.at] = source[first : first + len(part.rows)]
    elif isinstance(source, np.ndarray) and source.shape[1] >= LARGE_ROW:
        places = range(len(part.rows)) if isinstance(part.at, slice) else part.at.tolist()
        for place, row in zip(places, part.rows.tolist(), strict=True):
            target[place] = source[row]
    else:
        target[part.at] = source[part.rows]


def _most_open_files() -> int:
    """Files to hold open: every mapping holds one, and a process may have only so many."""
    try:
        import resource
    except ImportError:
        return MOST_OPEN_FILES
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else min(soft // 2, MOST_OPEN_FILES)
