"""Write rows as HDF5: first one file per finished unit, then the published shards, each whole or absent."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rnnzoo.files.atomic import atomic_path
from rnnzoo.format.manifest import Manifest, ShardFile, SplitCounts, described_zoo, file_sha256
from rnnzoo.format.mapped_shard import MappedShard
from rnnzoo.format.schema import SPLITS, Column
from rnnzoo.format.shard_layout import COMPRESSION, ShardPlan
from rnnzoo.generation.recipes import Recipe
from rnnzoo.generation.splits import assign_splits

SHARD_BYTES = 48 * 2**20
"""Uncompressed bytes a shard aims at: large enough to stream well, small enough to fetch alone."""


@contextmanager
def shard_file(path: Path, rows: int, recipe: Recipe, split: str | None) -> Iterator[h5py.File]:
    """A new HDF5 file with every column of a recipe allocated at `rows` rows; whole or absent.

    Traces of published shards (those with a split) are compressed, since trained networks repeat
    themselves; weights do not compress and stay contiguous, so that one row is one read.

    The file is made in memory and written in one piece: HDF5 crashes the process when a disk fills up.
    """
    plan = ShardPlan.of_zoo(recipe.zoo, recipe.hash, recipe.columns, rows, split)
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        for name, value in plan.attributes.items():
            # A text of fixed length lies in the header itself, so that checking it never leads elsewhere.
            file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
        for column in plan.columns:
            _create_column(file, column, plan)
        yield file
        file.flush()
        image = file.id.get_file_image()
    with atomic_path(path) as temporary:
        temporary.write_bytes(image)


def _create_column(file: h5py.File, column: Column, plan: ShardPlan) -> None:
    options = {"chunks": plan.chunk_shape(column), **COMPRESSION} if plan.in_chunks(column) else {}
    dataset = file.create_dataset(column.name, shape=(plan.rows, *column.shape), dtype=column.dtype, **options)
    dataset.attrs["unit"] = column.unit
    dataset.attrs["description"] = column.description


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


def models_per_shard(recipe: Recipe) -> int:
    """Models whose rows together come close to the shard size."""
    model_bytes = len(recipe.snapshots) * sum(column.row_bytes for column in recipe.columns)
    return max(1, SHARD_BYTES // model_bytes)


CopyModels = Callable[[h5py.File, NDArray[np.integer]], None]
"""Fills a shard, already of the right size, with all rows of the given models, in their order."""


def pack_zoo(
    out: Path, recipe: Recipe, tasks: NDArray[Any], criterion: Callable[[NDArray], NDArray], copy: CopyModels
) -> Manifest:
    """Write the shards of every split that has models, in place of any in the folder.

    Args:
        out: the zoo's folder.
        recipe: the zoo's recipe.
        tasks: [M, ...], the task of each model.
        criterion: a number per task; the largest are out of distribution.
        copy: fills a shard with models.

    Returns:
        The zoo's manifest, not yet written and without provenance.
    """
    split_of = assign_splits(tasks, criterion, recipe.split)
    shutil.rmtree(out / "data", ignore_errors=True)
    files: list[ShardFile] = []
    splits: dict[str, SplitCounts] = {}
    for index, name in enumerate(SPLITS):
        models = np.flatnonzero(split_of == index)
        if len(models) == 0:
            continue
        files += pack_split(out, recipe, name, models, copy)
        splits[name] = {
            "rows": len(models) * len(recipe.snapshots),
            "models": len(models),
            "tasks": len(np.unique(tasks[models], axis=0)),
        }
    return Manifest(**described_zoo(recipe.as_json()), splits=splits, files=tuple(files), provenance={})


def pack_split(
    out: Path, recipe: Recipe, split: str, model_ids: NDArray[np.integer], copy: CopyModels
) -> Iterator[ShardFile]:
    """Write one split's shards, streaming; models in the order given."""
    per_shard = models_per_shard(recipe)
    shards = math.ceil(len(model_ids) / per_shard)
    for shard in range(shards):
        models = model_ids[shard * per_shard : (shard + 1) * per_shard]
        path = out / "data" / f"{split}-{shard:05d}-of-{shards:05d}.h5"
        rows = len(models) * len(recipe.snapshots)
        with shard_file(path, rows, recipe, split) as file:
            copy(file, models)
        yield ShardFile(
            path=f"data/{path.name}", split=split, rows=rows, size=path.stat().st_size, sha256=file_sha256(path)
        )


def copy_from_units(recipe: Recipe, units: Sequence[UnitSource], file: h5py.File, models: NDArray[np.integer]) -> None:
    """Fill a shard with models from finished units."""
    snapshots = len(recipe.snapshots)
    buffers = {name: np.empty(file[name].shape, file[name].dtype) for name in file}
    starts = np.array([unit.start for unit in units])
    unit_of = np.searchsorted(starts, models, side="right") - 1
    for index in np.unique(unit_of):
        source = units[index].open(recipe)
        for position in np.flatnonzero(unit_of == index):
            row = (int(models[position]) - units[index].start) * snapshots
            for name, buffer in buffers.items():
                buffer[position * snapshots : (position + 1) * snapshots] = source.rows(name, row, row + snapshots)
    for name, buffer in buffers.items():
        file[name][...] = buffer
