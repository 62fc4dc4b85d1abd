"""The labels of a zoo once more, in small HDF5 files by split: shards without weights and traces."""

from __future__ import annotations

from collections.abc import Iterator

from rnnzoo.errors import RnnzooError
from rnnzoo.format.label_table import table_problems
from rnnzoo.format.manifest import LabelFile, Manifest
from rnnzoo.format.mapped_shard import MappedShard
from rnnzoo.format.schema import label_columns
from rnnzoo.format.shard_layout import ShardPlan
from rnnzoo.zoo.zoo import Zoo


def label_plan(manifest: Manifest, split: str, rows: int) -> ShardPlan:
    """What a file with the labels of so many rows of a split must be."""
    return ShardPlan.of_zoo(manifest.zoo, manifest.recipe_hash, label_columns(manifest.columns), rows, split)


def label_problems(zoo: Zoo) -> Iterator[str]:
    """Everything in which a zoo's files of labels depart from its shards."""
    start_of = dict.fromkeys(zoo.manifest.splits, 0)
    for listed in zoo.manifest.label_files:
        if listed.split is None:
            yield from table_problems(zoo, listed)
            continue
        start = start_of[listed.split]
        start_of[listed.split] = start + listed.rows
        yield from _file_problems(listed, listed.split, zoo.split(listed.split)[start : start + listed.rows])


def _file_problems(listed: LabelFile, split: str, rows: Zoo) -> Iterator[str]:
    path = rows.folder / listed.path
    try:
        found = MappedShard(path, label_plan(rows.manifest, split, listed.rows), listed.size, listed.sha256)
    except RnnzooError as error:
        yield str(error)
        return
    for column in label_columns(rows.columns):
        if found.rows(column.name).tobytes() != rows[column.name].tobytes():
            yield f"{path}: column {column.name!r} is not that of the shards"
