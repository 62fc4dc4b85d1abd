"""What `datasets` reads from a zoo's card: configurations, their files and their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnnzoo.format.manifest import Manifest
from rnnzoo.format.schema import Column, label_columns
from rnnzoo.hub.published import TAG


def configurations(columns: Sequence[Column]) -> dict[str, list[Column]]:
    """The configurations a zoo offers to `datasets`, by name; the first is the default."""
    return {
        "default": list(columns),
        "weights": [column for column in columns if not column.trace],
        "labels": list(label_columns(columns)),
    }


def front_matter(manifest: Manifest) -> dict[str, Any]:
    """The metadata `datasets` reads from a card: configurations, their files and their features.

    Sizes of splits are not stated: whoever loads one shard with `data_files` would be told that they are wrong.
    """
    configs = configurations(manifest.columns)
    # What `datasets` keeps of a folder it finds by the card's metadata alone, so that these must tell the contents.
    description = f"rnnzoo {manifest.zoo}, data {manifest.data_sha256}"
    return {
        "license": "apache-2.0",
        "pretty_name": f"rnnzoo {manifest.zoo}",
        "tags": [TAG, "model-zoo", "weight-space-learning", "recurrent-neural-network", manifest.network.cell],
        "configs": [
            {"config_name": name, "data_files": _data_files(manifest, name)}
            | ({"default": True} if name == "default" else {})
            for name in configs
        ],
        "dataset_info": [
            {
                "config_name": name,
                "description": description,
                "features": [_feature(column) for column in columns],
            }
            for name, columns in configs.items()
        ],
    }


def _data_files(manifest: Manifest, config: str) -> list[dict[str, Any]]:
    """The files of each split: for labels alone small ones, where the zoo has them."""
    files = manifest.label_files if config == "labels" and manifest.label_files else manifest.files
    return [{"split": split, "path": [file.path for file in files if file.split == split]} for split in manifest.splits]


def _feature(column: Column) -> dict[str, Any]:
    if not column.shape:
        return {"name": column.name, "dtype": column.dtype}
    if len(column.shape) == 1:
        return {"name": column.name, "list": column.dtype, "length": column.shape[0]}
    array = {"shape": list(column.shape), "dtype": column.dtype}
    return {"name": column.name, "dtype": {f"array{len(column.shape)}_d": array}}
