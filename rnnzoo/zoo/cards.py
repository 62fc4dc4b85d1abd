"""Render a zoo's dataset card (README.md) from its manifest: what `datasets` reads, and what people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml

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
    template = Template(manifest.kind.card_template())
    body = template.substitute(_values(manifest, dataset or f"rnnzoo/{manifest.zoo}"))
    return f"---\n{yaml.safe_dump(front_matter(manifest), sort_keys=False)}---\n\n{body}"


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


def _values(manifest: Manifest, dataset: str) -> dict[str, Any]:
    layout = [(p.name, " x ".join(map(str, p.shape)), f"{p.offset}..{p.stop - 1}") for p in manifest.weight_layout]
    columns = [
        (f"`{c.name}`", c.dtype, " x ".join(map(str, c.shape)) or "number", c.unit, c.description)
        for c in manifest.columns
    ]
    counts = [(name, c["models"], c["tasks"], c["rows"]) for name, c in manifest.splits.items()]
    return {
        "dataset": dataset,
        "zoo": manifest.zoo,
        **manifest.kind.card_values(manifest.recipe),
        "models": manifest.recipe["models"],
        "network": manifest.network.describe(),
        "snapshot_count": len(manifest.snapshots),
        "snapshots": ", ".join(map(str, manifest.snapshots)),
        "last_snapshot": manifest.snapshots[-1],
        "column_table": _table(("column", "dtype", "shape", "unit", "meaning"), columns),
        "layout_table": _table(("tensor", "shape", "positions"), layout),
        "split_table": _table(("split", "models", "tasks", "rows"), counts),
        "provenance": _provenance(manifest),
    }


def _provenance(manifest: Manifest) -> str:
    facts = manifest.provenance
    versions = ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
    lines = [f"- recipe {manifest.recipe_hash[:16]}, in full in `manifest.json`"]
    if "engine" in facts:
        lines.append(f"- trained by the {facts['engine']} engine on {facts['device']}")
    if facts["source"] == "imported":
        lines.append(
            f"- imported from the original authors' release `{facts['release']}`, whose weights at step s have had "
            f"s + {facts['updates_ahead']} updates"
        )
    if "data" in facts:
        lines.append(f"- {manifest.kind.data_text(manifest.recipe)}, from {facts['data']}")
    if facts.get("restored_starts"):
        lines.append(
            f"- {facts['restored_starts']} recorded rollouts got their start token back, over which the release has an "
            "end token"
        )
    lines += [f"- {versions}", f"- written {facts.get('created', 'at an unknown time')}"]
    if facts.get("git_revision"):
        lines.append(f"- source revision {facts['git_revision']}")
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
