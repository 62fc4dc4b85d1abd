"""`rnnzoo import` and `rnnzoo export`: the original release as a zoo of ours, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnzoo.cli.revision_option import revision_option

if TYPE_CHECKING:
    from rnnzoo.terminal.progress_display import ProgressDisplay


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write; by default zoos/NAME-OF-FOLDER.")
@click.option("--mnist", "images", metavar="hub|PATH",
              help="smnist: recognise the recorded images in MNIST's, to name them and their classes, and measure "
              "losses again, about a second a row on one core.")  # fmt: skip
@click.option("--released-losses", is_flag=True, help="smnist: with --mnist, keep the losses as released.")
def import_command(folder: Path, out: Path | None, images: str | None, released_losses: bool) -> None:
    """Turn FOLDER, one of the original authors' two zoos as .npy files, into a zoo of ours.

    Weights and recordings stay as they are, bit for bit; `rnnzoo verify --all` re-runs them.

    \b
    Examples:
      rnnzoo import sequential_mnist_tile_4x4_model_2x32 --mnist hub
      rnnzoo import formal_languages_tokens_4_length_42_2x32 --out zoos/original
    """
    from rnnzoo.generation.kinds.digit_images import load_images
    from rnnzoo.generation.original.importing import import_release
    from rnnzoo.kinds.smnist import DigitTasks
    from rnnzoo.terminal.display import say

    target = out or Path("zoos") / folder.resolve().name
    found = None if images is None else load_images(DigitTasks(), images)
    with _progress("importing") as progress:
        manifest = import_release(folder, target, found, progress.advance, released_losses, progress.message)
    say(f"{target}: {manifest.zoo}, {manifest.rows} rows, {manifest.size / 1e6:.1f} MB")


@click.command("export")
@click.argument("zoo")
@revision_option
@click.option("--original", "folder", type=click.Path(path_type=Path), required=True,
              help="Folder to write in the original authors' format.")  # fmt: skip
def export_command(zoo: str, revision: str | None, folder: Path) -> None:
    """Write ZOO in the original authors' format, so that code written against their release runs on it."""
    from rnnzoo.generation.original.exporting import export_zoo
    from rnnzoo.terminal.display import say
    from rnnzoo.zoo.zoo import load

    rows = load(zoo, revision=revision)
    with _progress("exporting") as progress:
        export_zoo(rows, folder, progress.advance)
    say(f"{folder}: {rows.manifest.zoo}, {len(rows)} rows")


@contextmanager
def _progress(description: str) -> Iterator[ProgressDisplay]:
    from rnnzoo.terminal.progress_display import ProgressDisplay

    with ProgressDisplay(description, transient=True) as progress:
        progress.start()
        yield progress
