"""Write rows as HDF5 files, each whole or absent: of finished units, shards and labels."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rnnzoo.files.atomic import atomic_path
from rnnzoo.format.mapped_shard import MappedShard
from rnnzoo.format.schema import Column
from rnnzoo.format.shard_layout import COMPRESSION, ShardPlan
from rnnzoo.generation.recipes import Recipe

SHARD_BYTES = 48 * 2**20
"""Uncompressed bytes a shard aims at: large enough to stream well, small enough to fetch alone."""


def shard_file(path: Path, rows: int, recipe: Recipe, split: str | None) -> AbstractContextManager[h5py.File]:
    """A new HDF5 file with every column of a recipe allocated at `rows` rows; whole or absent.

    Traces of published shards (those with a split) are compressed, since trained networks repeat
    themselves; weights do not compress and stay contiguous, so that one row is one read.
    """
    return planned_file(path, ShardPlan.of_zoo(recipe.zoo, recipe.hash, recipe.columns, rows, split))


@contextmanager
def planned_file(path: Path, plan: ShardPlan) -> Iterator[h5py.File]:
    """A new HDF5 file with every column of a plan allocated; whole or absent.

    The file is made in memory and written in one piece: HDF5 crashes the process when a disk fills up.

    What is written lies in the file in the order of writing, behind everything that tells where it lies.
    """
    # HDF5's own image of a file in memory has a wrong checksum before version 2.0, with this strategy.
    image = io.BytesIO()
    with h5py.File(image, "w", fs_strategy="none") as file:
        for name, value in plan.attributes.items():
            # A text of fixed length lies in the header itself, so that checking it never leads elsewhere.
            file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
        for column in plan.columns:
            _create_column(file, column, plan)
        yield file
    with atomic_path(path) as temporary:
        temporary.write_bytes(image.getbuffer())


def _create_column(file: h5py.File, column: Column, plan: ShardPlan) -> None:
    options = {"chunks": plan.chunk_shape(column), **COMPRESSION} if plan.in_chunks(column) else {}
    dataset = file.create_dataset(column.name, shape=(plan.rows, *column.shape), dtype=column.dtype, **options)
    dataset.attrs["unit"] = column.unit
    dataset.attrs["description"] = column.description
    if options:
        # The index of chunks is made with the first chunk. Readers look at every index when they open a file.
        dataset[: plan.chunk_shape(column)[0]] = 0


def write_unit_rows(file: h5py.File, rows: Mapping[str, NDArray[Any]], snapshot: int, snapshots: int) -> None:
    """Put one snapshot's rows of all models into a unit file, whose rows are ordered by model, then step."""
    for name, values in rows.items():
        file[name][snapshot::snapshots] = values


@dataclass(frozen=True)
class UnitSource:
    """Where a finished unit's models lie."""

    path: Path
    start: int
    stop: int

    def open(self, recipe: Recipe) -> MappedShard:
        """The unit's rows, once its file is what a build writes.

        Raises:
            RnnzooError: it is not.
        """
        rows = (self.stop - self.start) * len(recipe.snapshots)
        plan = ShardPlan.of_zoo(recipe.zoo, recipe.hash, recipe.columns, rows, split=None)
        return MappedShard(self.path, plan, self.path.stat().st_size, sha256=None)


def copy_from_units(
    recipe: Recipe, units: Sequence[UnitSource], values: Mapping[str, NDArray[Any]], models: NDArray[np.integer]
) -> None:
    """Fill arrays with the rows of models from finished units."""
    snapshots = len(recipe.snapshots)
    starts = np.array([unit.start for unit in units])
    unit_of = np.searchsorted(starts, models, side="right") - 1
    for index in np.unique(unit_of):
        source = units[index].open(recipe)
        for position in np.flatnonzero(unit_of == index):
            row = (int(models[position]) - units[index].start) * snapshots
            for name, array in values.items():
                array[position * snapshots : (position + 1) * snapshots] = source.rows(name, row, row + snapshots)
