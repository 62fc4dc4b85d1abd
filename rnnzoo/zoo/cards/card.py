"""Render a zoo's dataset card (README.md): what `datasets` reads, and what people read.

All it says comes from the manifest, from columns of the zoo, or from a report that is given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateError

from rnnzoo.errors import UsageError
from rnnzoo.files.atomic import write_text
from rnnzoo.format.manifest import LABEL_TABLE, Manifest
from rnnzoo.format.schema import Column
from rnnzoo.networks.network import CELLS
from rnnzoo.version import __version__
from rnnzoo.zoo.cards.markdown_text import escape
from rnnzoo.zoo.cards.split_statistics import SHARES, by_split, by_step
from rnnzoo.zoo.dataset_configs import front_matter
from rnnzoo.zoo.zoo import Zoo

CARD = "README.md"


def write_card(folder: Path, manifest: Manifest, name: str, command: str | None = None) -> None:
    """Write README.md into a zoo's folder, whose snippets read that folder.

    Args:
        folder: where the zoo's files are.
        manifest: of the zoo, which need not be written yet.
        name: of the folder when all is done.
        command: that builds the zoo, if there is one.
    """
    write_text(folder / CARD, render_card(Zoo(folder, manifest), name, command=command))


def render_card(
    zoo: Zoo,
    name: str,
    published: bool = False,
    command: str | None = None,
    baselines: str = "",
    pictures: bool = False,
) -> str:
    """The card's text: YAML front matter for `datasets`, then the template of the kind of zoo filled in.

    Args:
        zoo: all rows of the zoo.
        name: what its snippets load: a folder beside them, or a name on the Hub.
        published: whether it is a name on the Hub.
        command: that builds the zoo, if there is one.
        baselines: a report's tables in Markdown, for a section of their own.
        pictures: whether those of `rnnzoo.zoo.cards.pictures` lie beside the card.

    Raises:
        UsageError: the template of the kind of zoo cannot be filled in.
    """
    # Not needed by `import rnnzoo`, and slow to import.
    from huggingface_hub import DatasetCard

    manifest = zoo.manifest
    values = {
        **_values(zoo),
        **manifest.kind.card_values(manifest.recipe),
        "dataset": name,
        "published": published,
        "folder": f"hf://datasets/{name}" if published else name,
        "command": command,
        "baselines": baselines,
        "pictures": pictures,
    }
    try:
        body = _environment().from_string(manifest.kind.card_template()).render(values)
    except TemplateError as error:
        raise UsageError(
            f"The dataset card of {manifest.zoo} cannot be written: its template fails ({error}). Correct the one that "
            f"`card_template` of {type(manifest.kind).__name__} gives; docs/adding_a_zoo.md says what it may name."
        ) from error
    matter = yaml.safe_dump(front_matter(manifest), sort_keys=False, allow_unicode=True)
    return str(DatasetCard(f"---\n{matter}---\n\n{body}"))


def repository_texts(
    zoo: Zoo, repository: str, revision: str = "main", command: str | None = None, baselines: str = ""
) -> dict[str, bytes]:
    """What a repository on the Hub holds beside the files its manifest lists: contents by path.

    That is the card, its pictures, and the description for machines. The same zoo gives the same bytes.

    Args:
        zoo: all rows of the zoo that is published.
        repository: its name there, `namespace/name`.
        revision: branch or tag at which these very files will be found.
        command: that builds the zoo, if there is one.
        baselines: a report's tables in Markdown, for a section of their own.
    """
    from rnnzoo.zoo.cards.croissant import CROISSANT, croissant
    from rnnzoo.zoo.cards.pictures import draw_pictures

    pictures = draw_pictures(zoo)
    card = render_card(zoo, repository, True, command, baselines, bool(pictures))
    described = croissant(zoo.manifest, repository, revision, card)
    description = json.dumps(described, indent=2, ensure_ascii=False)
    return {CARD: card.encode(), CROISSANT: f"{description}\n".encode(), **pictures}


def batch_dtype(column: Column) -> str:
    """What `datasets` makes of a column in batches of its numpy and torch formats."""
    kind = np.dtype(column.dtype).kind
    return {"b": "bool", "f": "float32"}.get(kind, "int64")


def settings(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every choice of a recipe, by the name that `rnnzoo build --set` gives it."""
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            yield from settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rnnzoo.card_templates", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["escape"] = escape
    environment.filters["number"] = lambda value: "" if np.isnan(value) else f"{value:.4g}"
    environment.filters["batch_dtype"] = batch_dtype
    return environment


def _values(zoo: Zoo) -> dict[str, Any]:
    """What every template may name."""
    manifest = zoo.manifest
    cell = CELLS.get(manifest.network.cell)
    recipe = {name: value for name, value in manifest.recipe.items() if name not in ("zoo", "version", "source")}
    return {
        "zoo": manifest.zoo,
        "manifest": manifest,
        "models": manifest.recipe["models"],
        "rollouts": manifest.recipe["rollouts"],
        "network": manifest.network.describe(),
        "gates": cell.gates if cell else (),
        "snapshots": manifest.snapshots,
        "columns": manifest.columns,
        "layout": manifest.weight_layout,
        "splits": manifest.splits,
        "facts": manifest.provenance,
        "label_table": LABEL_TABLE if manifest.label_files else "",
        "data_text": manifest.kind.data_text(manifest.recipe),
        "settings": list(settings(recipe)),
        "metrics": manifest.kind.metrics_of(manifest.columns),
        "shares": SHARES,
        "by_split": by_split(zoo),
        "by_step": by_step(zoo),
        "diverged": int(zoo["diverged"].sum()),
        "tasks": sum(counts["tasks"] for counts in manifest.splits.values()),
        "version": __version__,
    }
