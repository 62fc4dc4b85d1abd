"""Read HDF5 shards: open them once per process, read rows and columns, check them against the schema."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError
from rnnzoo.manifest import Manifest, ShardFile
from rnnzoo.schema import SCHEMA_VERSION, Column

MAX_OPEN_FILES = 128
"""Enough for 6 GB of shards, few enough for systems that allow a process 256 files."""


class ShardReader:
    """The rows of a zoo's shards, numbered through all files in manifest order.

    Files are opened when first needed and kept open, a limited number at a time. Copies sent to other
    processes open their own.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.files = manifest.files
        self.columns = {column.name: column for column in manifest.columns}
        self.starts = np.cumsum([0, *(file.rows for file in self.files)])
        self._open: OrderedDict[int, h5py.File] = OrderedDict()
        self._sound: set[int] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_sound": set()}

    @property
    def rows(self) -> int:
        """Rows in all shards."""
        return int(self.starts[-1])

    def read(self, name: str, rows: NDArray[np.integer]) -> NDArray[Any]:
        """A column's values at the given row numbers, in their order: [len(rows), *shape]."""
        column = self.columns[name]
        values = np.empty((len(rows), *column.shape), dtype=column.dtype)
        shard_of = np.searchsorted(self.starts, rows, side="right") - 1
        for shard in np.unique(shard_of):
            at = np.flatnonzero(shard_of == shard)
            dataset = self._dataset(int(shard), name)
            values[at] = _read_rows(dataset, rows[at] - self.starts[shard])
        return values

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        while self._open:
            self._open.popitem()[1].close()

    def _dataset(self, shard: int, name: str) -> h5py.Dataset:
        file = self._open.get(shard)
        if file is None:
            while len(self._open) >= MAX_OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            file = self._open[shard] = self._opened(shard)
        self._open.move_to_end(shard)
        return file[name]

    def _opened(self, shard: int) -> h5py.File:
        """A shard that is what the manifest says, seen once: another zoo's file must not be read as this one's."""
        path = self.folder / self.files[shard].path
        file = open_shard(path)
        for problem in () if shard in self._sound else shard_problems(file, self.files[shard], self.manifest):
            file.close()
            raise RnnzooError(
                f"{path}: {problem}. Run `rnnzoo verify {self.folder}` to see all that is wrong, "
                "then fetch or build the zoo again."
            )
        self._sound.add(shard)
        return file


def open_shard(path: Path) -> h5py.File:
    """Open a shard for reading.

    Raises:
        RnnzooError: the file is missing, truncated or not HDF5.
    """
    if not path.is_file():
        raise RnnzooError(f"{path} is missing, though the manifest lists it. Fetch or build the zoo again.")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise RnnzooError(
            f"{path} cannot be read as HDF5; it is truncated or altered ({error}). Fetch or build the zoo again."
        ) from error


def shard_problems(file: h5py.File, listed: ShardFile, manifest: Manifest) -> Iterator[str]:
    """Everything in which an open shard departs from the schema and its manifest entry."""
    version = file.attrs.get("schema_version")
    if version != SCHEMA_VERSION:
        yield f"attribute schema_version is {version}, expected {SCHEMA_VERSION}"
    for name, expected in (("zoo", manifest.zoo), ("split", listed.split), ("recipe_hash", manifest.recipe_hash)):
        if file.attrs.get(name) != expected:
            yield f"attribute {name} is {file.attrs.get(name)!r}, expected {expected!r}"
    if "recipe" in file.attrs and json.loads(file.attrs["recipe"]) != manifest.recipe:
        yield "attribute recipe differs from the manifest's recipe"
    expected_names = {column.name for column in manifest.columns}
    for name in sorted(set(file) - expected_names):
        yield f"column {name!r} is not in the schema"
    for column in manifest.columns:
        yield from _column_problems(file, column, listed.rows)


def _column_problems(file: h5py.File, column: Column, rows: int) -> Iterator[str]:
    if column.name not in file or not isinstance(file[column.name], h5py.Dataset):
        yield f"column {column.name!r} is missing"
        return
    dataset = file[column.name]
    if dataset.dtype != np.dtype(column.dtype):
        yield f"column {column.name!r} has dtype {dataset.dtype}, expected {column.dtype}"
    if dataset.shape != (rows, *column.shape):
        yield f"column {column.name!r} has shape {dataset.shape}, expected {(rows, *column.shape)}"


def _read_rows(dataset: h5py.Dataset, rows: NDArray[np.integer]) -> NDArray[Any]:
    """Rows of one dataset in any order, by few contiguous reads."""
    try:
        low, high = int(rows.min()), int(rows.max()) + 1
        if high - low <= 4 * len(rows):
            return dataset[low:high][rows - low]
        return np.stack([dataset[int(row)] for row in rows])
    except OSError as error:
        raise RnnzooError(
            f"{dataset.file.filename}: column {dataset.name.lstrip('/')!r} cannot be read ({error}). "
            "The file is truncated or altered; fetch or build the zoo again."
        ) from error


def split_rows(files: Sequence[ShardFile], split: str) -> NDArray[np.int64]:
    """Row numbers of a split among all rows of a zoo."""
    labels = np.repeat([file.split for file in files], [file.rows for file in files])
    return np.flatnonzero(labels == split)
