"""`rnnzoo card`: the dataset card of a zoo, and what belongs to it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("card")
@click.argument("zoo")
@click.option(
    "--repository", metavar="NAMESPACE/NAME", help="Its name on the Hub; by default the card is the folder's."
)
@click.option("--results", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Results of `rnnzoo eval` on this zoo, for a section on baselines.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder to write README.md, croissant.json and pictures to; needs --repository.")  # fmt: skip
def card_command(zoo: str, repository: str | None, results: Path | None, out: Path | None) -> None:
    """Print the dataset card of ZOO as it would be published, or write it and what belongs to it.

    \b
    Examples:
      rnnzoo card zoos/mine --repository me/mine
      rnnzoo card zoos/mine --repository me/mine --results results/mine-quick --out card
    """
    from rnnzoo.errors import UsageError
    from rnnzoo.files.atomic import atomic_path
    from rnnzoo.hub.repositories import check_names
    from rnnzoo.terminal.display import say
    from rnnzoo.zoo.cards import render_card, repository_texts
    from rnnzoo.zoo.cards.additions import additions
    from rnnzoo.zoo.zoo import load

    if repository is not None:
        check_names(repository, None, "main")
    rows = load(zoo)
    said = additions(rows.manifest, results)
    if out is None:
        say(render_card(rows, repository or Path(zoo).resolve().name, repository is not None, **said))
        return
    if repository is None:
        raise UsageError("--out needs the name that the zoo is published by: add --repository NAMESPACE/NAME.")
    for path, content in repository_texts(rows, repository, **said).items():
        with atomic_path(out / path) as temporary:
            temporary.write_bytes(content)
    say(f"Written to {out}.")
