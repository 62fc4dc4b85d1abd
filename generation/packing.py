"""Pack rows into the files of a zoo: shards by split, and the labels once more."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.format.manifest import Manifest, ShardFile, SplitCounts, described_zoo, file_sha256
from rnnzoo.format.schema import SPLITS
from rnnzoo.generation.label_writer import with_labels
from rnnzoo.generation.recipes import Recipe
from rnnzoo.generation.shard_writer import SHARD_BYTES, shard_file
from rnnzoo.generation.splits import assign_splits


def models_per_shard(recipe: Recipe) -> int:
    """Models whose rows together come close to the shard size."""
    model_bytes = len(recipe.snapshots) * sum(column.row_bytes for column in recipe.columns)
    return max(1, SHARD_BYTES // model_bytes)


Rows = dict[str, NDArray[Any]]
"""Columns by name, [rows, *shape] each."""
CopyModels = Callable[[Rows, NDArray[np.integer]], None]
"""Fills arrays, already of the right size, with all rows of the given models, in their order."""


def pack_zoo(
    out: Path, recipe: Recipe, tasks: NDArray[Any], criterion: Callable[[NDArray], NDArray], copy: CopyModels
) -> Manifest:
    """Write the shards of every split that has models, and the labels once more, in place of any in the folder.

    Args:
        out: the zoo's folder.
        recipe: the zoo's recipe.
        tasks: [M, ...], the task of each model.
        criterion: a number per task; the largest are out of distribution.
        copy: fills arrays with the rows of models.

    Returns:
        The zoo's manifest, not yet written and without provenance.
    """
    split_of = assign_splits(tasks, criterion, recipe.split)
    for folder in ("data", "labels"):
        shutil.rmtree(out / folder, ignore_errors=True)
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
    shards = Manifest(**described_zoo(recipe.as_json()), splits=splits, files=tuple(files), provenance={})
    return with_labels(out, shards)


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
        values = {column.name: np.zeros((rows, *column.shape), column.dtype) for column in recipe.columns}
        copy(values, models)
        with shard_file(path, rows, recipe, split) as file:
            # `datasets` reads columns by name: in this order it streams a file from front to back, once.
            for name in sorted(values):
                file[name][...] = values[name]
        yield ShardFile(
            path=f"data/{path.name}", split=split, rows=rows, size=path.stat().st_size, sha256=file_sha256(path)
        )
