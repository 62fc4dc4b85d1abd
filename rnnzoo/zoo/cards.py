"""Render a zoo's dataset card (README.md) from its manifest: what `datasets` reads, and what people read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from rnnzoo.files.atomic import write_text
from rnnzoo.format.manifest import Manifest
from rnnzoo.format.schema import Column

CARD = "README.md"


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write README.md into a zoo's folder."""
    write_text(folder / CARD, render_card(manifest))


def render_card(manifest: Manifest, dataset: str | None = None) -> str:
    """The card's text: YAML front matter for `datasets`, then the zoo's template filled in.

    Args:
        manifest: the zoo's manifest.
        dataset: name to load it by; by default its published name.
    """
    environment = Environment(
        loader=PackageLoader("rnnzoo.card_templates", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    body = environment.from_string(manifest.kind.card_template()).render(
        dataset=dataset or f"rnnzoo/{manifest.zoo}",
        zoo=manifest.zoo,
        models=manifest.recipe["models"],
        network=manifest.network.describe(),
        snapshots=manifest.snapshots,
        columns=manifest.columns,
        layout=manifest.weight_layout,
        splits=manifest.splits,
        recipe_hash=manifest.recipe_hash,
        facts=manifest.provenance,
        data_text=manifest.kind.data_text(manifest.recipe),
        **manifest.kind.card_values(manifest.recipe),
    )
    return f"---\n{yaml.safe_dump(front_matter(manifest), sort_keys=False)}---\n\n{body}"


def repository_texts(manifest: Manifest, repository: str) -> dict[str, bytes]:
    """What a repository on the Hub holds beside the files its manifest lists: contents by path.

    Args:
        manifest: of the zoo that is published.
        repository: its name there, `namespace/name`.
    """
    return {CARD: render_card(manifest, repository).encode()}


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
