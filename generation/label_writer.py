"""Write the labels of a zoo once more, from its shards: small HDF5 files by split, and one table of Parquet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from rnnzoo.files.atomic import atomic_path
from rnnzoo.format.label_table import write_table
from rnnzoo.format.labels import label_plan
from rnnzoo.format.manifest import LABEL_TABLE, LabelFile, Manifest, file_sha256
from rnnzoo.format.schema import label_columns
from rnnzoo.generation.shard_writer import SHARD_BYTES, planned_file
from rnnzoo.zoo.zoo import Zoo


def with_labels(folder: Path, manifest: Manifest) -> Manifest:
    """A manifest that lists files of labels as well, which are written into the zoo's folder.

    Args:
        folder: of the zoo; its shards are there, its manifest need not be.
        manifest: of the shards.
    """
    zoo = Zoo(folder, manifest)
    files = [file for split in manifest.splits for file in _split_files(zoo.split(split), split)]
    with atomic_path(folder / LABEL_TABLE) as temporary, open(temporary, "wb") as file:
        write_table(zoo, file)
    table = _listed(folder / LABEL_TABLE, LABEL_TABLE, None, len(zoo))
    return dataclasses.replace(manifest, label_files=(*files, table))


def _split_files(rows: Zoo, split: str) -> Iterator[LabelFile]:
    row_bytes = sum(column.row_bytes for column in label_columns(rows.columns))
    starts = range(0, len(rows), max(1, SHARD_BYTES // row_bytes))
    for number, start in enumerate(starts):
        part = rows[start : start + starts.step]
        path = rows.folder / "labels" / f"{split}-{number:05d}-of-{len(starts):05d}.h5"
        with planned_file(path, label_plan(rows.manifest, split, len(part))) as file:
            for name in file:
                file[name][...] = part[name]
        yield _listed(path, f"labels/{path.name}", split, len(part))


def _listed(path: Path, listed: str, split: str | None, rows: int) -> LabelFile:
    return LabelFile(listed, split, rows, path.stat().st_size, file_sha256(path))
