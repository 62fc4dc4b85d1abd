"""`rnnzoo list`: which zoos there are, here, in the local store and on the Hub."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnzoo.errors import RnnzooError

if TYPE_CHECKING:
    from rich.table import Table

    from rnnzoo.terminal.display import TerminalConsole

NAMESPACE = "rnnzoo"


@click.command("list")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("zoos"), show_default=True,
              help="Where to look for finished zoos.")  # fmt: skip
@click.option("--remote", is_flag=True, help="List what is published on the Hub instead.")
@click.option(
    "--namespace", default=NAMESPACE, show_default=True, help="With --remote, of whom: a user or organisation."
)
def list_command(folder: Path, remote: bool, namespace: str) -> None:
    """List the zoos that can be built, those that are here, and those that come with the package."""
    from rnnzoo.hub.names import local_zoos
    from rnnzoo.hub.store import store_folder, versions
    from rnnzoo.samples import sample_names
    from rnnzoo.terminal.display import TerminalConsole

    console = TerminalConsole()
    if remote:
        _list_published(console, namespace)
        return
    console.table(_recipes())
    zoos = [((path.name,), path) for path in local_zoos(folder)]
    if not _list_folders(console, ["folder"], zoos, f"finished in {folder}"):
        console.line_of_text(f"No finished zoos in {folder}.")
    fetched = [((version.name, version.described), version.folder) for version in versions()]
    _list_folders(console, ["name", "revision"], fetched, f"fetched from the Hub into {store_folder()}")
    console.line_of_text(f"In this package: {', '.join(sample_names())}")


def _recipes() -> Table:
    from rich.table import Table

    recipes = importlib.import_module("rnnzoo.generation.kinds").published_recipes()
    table = Table(
        "zoo", "scale", "models", "steps", "snapshots", "rows", title="can be built: rnnzoo build ZOO --scale SCALE"
    )
    for name, scales in recipes.items():
        for scale, recipe in scales.items():
            numbers = (recipe.models, recipe.protocol.steps, len(recipe.snapshots), recipe.rows)
            table.add_row(name, scale, *(f"{number:,}" for number in numbers))
    return table


def _list_folders(
    console: TerminalConsole, heads: list[str], zoos: Iterable[tuple[tuple[str, ...], Path]], title: str
) -> bool:
    """Print a table of zoos, each by what names it and its folder, and what is wrong with others; False for none."""
    from rich.table import Table

    from rnnzoo.format.manifest import read_manifest

    damaged = []
    table = Table(*heads, "zoo", "models", "rows", "size", "splits", title=title)
    for names, path in zoos:
        try:
            manifest = read_manifest(path)
        except RnnzooError as error:
            damaged.append(f"{' '.join(names)}: {error}")
            continue
        splits = ", ".join(f"{name} {counts['models']}" for name, counts in manifest.splits.items())
        size = f"{manifest.size / 1e6:,.1f} MB"
        table.add_row(*names, manifest.zoo, f"{manifest.recipe['models']:,}", f"{manifest.rows:,}", size, splits)
    if table.row_count:
        console.table(table)
    for text in damaged:
        console.line_of_text(text)
    return bool(table.row_count or damaged)


def _list_published(console: TerminalConsole, namespace: str) -> None:
    from rich.table import Table

    from rnnzoo.hub.published import published_zoos

    table = Table("name", "zoo", "changed", "commit", "here", title="on the Hub: rnnzoo pull NAME")
    for zoo in published_zoos(namespace):
        here = "yes" if zoo.version.is_here else "no"
        private = " (private)" if zoo.private else ""
        table.add_row(zoo.version.name, zoo.title, f"{zoo.changed}{private}", zoo.version.commit[:12], here)
    if table.row_count:
        console.table(table)
    else:
        console.line_of_text(f"Nothing of {namespace} on the Hub is a zoo that this can see.")
