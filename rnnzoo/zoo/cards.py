"""Render a zoo's dataset card (README.md) from its manifest: what `datasets` reads, and what people read."""

from __future__ import annotations

from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from rnnzoo.files.atomic import write_text
from rnnzoo.format.manifest import Manifest
from rnnzoo.zoo.dataset_configs import front_matter

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
