"""What `datasets` reads from a zoo's card: configurations, their files and their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnnzoo.format.manifest import Manifest
from rnnzoo.format.schema import Column


def configurations(columns: Sequence[Column]) -> dict[str, list[Column]]:
    """The configurations a zoo offers to `datasets`, by name; the first is the default."""
    light = [column for column in columns if not column.trace]
    return {
        "default": list(columns),
        "weights": light,
        "labels": [column for column in light if column.name != "weights"],
    }


def front_matter(manifest: Manifest) -> dict[str, Any]:
    """The metadata `datasets` reads from a card: configurations, their files and their features."""
    splits = list(manifest.splits)
    data_files = [
        {"split": split, "path": [file.path for file in manifest.files if file.split == split]} for split in splits
    ]
    configs = configurations(manifest.columns)
    return {
        "license": "apache-2.0",
        "pretty_name": f"rnnzoo {manifest.zoo}",
        "tags": ["model-zoo", "weight-space-learning", "recurrent-neural-network", manifest.network.cell],
        "configs": [
            {"config_name": name, "data_files": data_files} | ({"default": True} if name == "default" else {})
            for name in configs
        ],
        "dataset_info": [
            {
                "config_name": name,
                "features": [_feature(column) for column in columns],
                "splits": [_split_info(split, manifest.splits[split]["rows"], columns) for split in splits],
            }
            for name, columns in configs.items()
        ],
    }


def _split_info(split: str, rows: int, columns: Sequence[Column]) -> dict[str, Any]:
    return {"name": split, "num_bytes": rows * sum(column.row_bytes for column in columns), "num_examples": rows}


def _feature(column: Column) -> dict[str, Any]:
    if not column.shape:
        return {"name": column.name, "dtype": column.dtype}
    if len(column.shape) == 1:
        return {"name": column.name, "list": column.dtype, "length": column.shape[0]}
    array = {"shape": list(column.shape), "dtype": column.dtype}
    return {"name": column.name, "dtype": {f"array{len(column.shape)}_d": array}}
