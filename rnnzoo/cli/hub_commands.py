"""Commands that publish zoos on the Hub and fetch them from there: push, pull, remove."""

from __future__ import annotations

from pathlib import Path

import click

from rnnzoo.cli.revision_option import revision_option


@click.command("push")
@click.argument("zoo")
@click.argument("repository", metavar="REPO")
@click.option("--private", is_flag=True, help="Create REPO so that only its owners see it.")
@click.option("--tag", help="A name for this version that never changes, such as v1.")
@click.option("--revision", default="main", show_default=True, metavar="BRANCH",
              help="The branch to publish on; created from main if it is not there.")  # fmt: skip
@click.option("--results", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Results of `rnnzoo eval` on ZOO, for a section of its card on baselines.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Verify, list the files and the card, and contact nobody.")
def push_command(
    zoo: str, repository: str, private: bool, tag: str | None, revision: str, results: Path | None, dry_run: bool
) -> None:
    """Publish ZOO on the Hugging Face Hub as the dataset REPO (namespace/name), once it verifies.

    All files become visible in one commit, whose hash is printed. What is there already is not uploaded again: after
    an interruption, give the same command again. Log in first, with `hf auth login` or HF_TOKEN.

    \b
    Examples:
      rnnzoo push zoos/smnist someone/smnist --dry-run
      rnnzoo push zoos/smnist someone/smnist --tag v1
    """
    from huggingface_hub.utils import disable_progress_bars

    from rnnzoo.hub.pushing import push
    from rnnzoo.terminal.display import say
    from rnnzoo.terminal.progress_display import ProgressDisplay

    if dry_run:
        _show_plan(zoo, repository, tag, revision, results)
        return
    disable_progress_bars()
    with ProgressDisplay("checking", transient=True) as progress:
        progress.start()

        def report(what: str, done: float, total: float) -> None:
            if what == "uploading":
                done, total, unit = done / 1e6, total / 1e6, "MB"
            else:
                unit = "rows"
            progress.bars.update(progress.chief, description=what, completed=done, total=total, unit=unit)

        made = push(zoo, repository, private=private, tag=tag, revision=revision, results=results, report=report)
    count = f"{len(made.files)} files, {made.size / 1e6:,.1f} MB, uploaded" if made.files else "nothing new to upload"
    say(f"{repository}: {count}.")
    named = f", tag {tag}" if made.tagged == made.commit else ""
    say(f"Commit {made.commit}{named}: {made.address}")
    if made.tagged not in (None, made.commit):
        say(f"The tag {tag} stays at commit {made.tagged}, which has the same zoo.")


def _show_plan(zoo: str, repository: str, tag: str | None, revision: str, results: Path | None) -> None:
    """List what would be published, after the checks that need no Hub."""
    from rich.table import Table

    from rnnzoo.hub.names import resolve
    from rnnzoo.hub.pushing import files_to_publish
    from rnnzoo.hub.repositories import check_names
    from rnnzoo.terminal.display import TerminalConsole
    from rnnzoo.zoo.cards import CARD

    check_names(repository, tag, revision)
    files = files_to_publish(resolve(zoo), repository, tag or revision, results, lambda what, done, total: None)
    console = TerminalConsole()
    table = Table("file", "bytes", title=f"{repository} would hold")
    for file in files:
        table.add_row(file.path, f"{file.size:,}")
    console.table(table)
    (card,) = (file.source for file in files if file.path == CARD)
    assert isinstance(card, bytes)
    console.line_of_text(f"{len(files)} files, {sum(file.size for file in files) / 1e6:,.1f} MB. Its {CARD}:\n")
    console.line_of_text(card.decode())


@click.command("pull")
@click.argument("repository")
@revision_option
def pull_command(repository: str, revision: str | None) -> None:
    """Fetch the zoo REPOSITORY, such as rnnzoo/smnist, from the Hub into the local store.

    Only files that its manifest lists are fetched, and each is checked against the checksum there. What an interrupted
    pull has fetched whole is not fetched again; a zoo that is here is checked, and what is damaged is fetched again.
    The store is the folder RNNZOO_HOME, by default ~/.cache/rnnzoo/zoos; `rnnzoo list` says what is in it.

    \b
    Examples:
      rnnzoo pull rnnzoo/smnist
      rnnzoo pull rnnzoo/smnist --revision v1
    """
    from rnnzoo.format.manifest import read_manifest
    from rnnzoo.hub.pulling import pull_version
    from rnnzoo.terminal.display import say

    try:
        version, fetched = pull_version(repository, revision)
    except KeyboardInterrupt:
        say("Stopped. Files that had arrived are kept; give the same command again to go on.", error=True)
        raise
    size = sum(file.size for file in read_manifest(version.folder).listed_files)
    say(f"{version.name} at {revision or 'main'} is commit {version.commit}.")
    say(f"{version.folder}: {size / 1e6:,.1f} MB, every file checked; {fetched / 1e6:,.1f} MB of them fetched now.")


@click.command("remove")
@click.argument("name")
@click.option("--revision", help="Only this version: a branch or tag as last seen, or the beginning of a commit.")
def remove_command(name: str, revision: str | None) -> None:
    """Delete what was fetched of NAME, such as rnnzoo/smnist, from the local store; the Hub keeps it.

    Zoos that were built are folders of yours, which this leaves alone.
    """
    from rnnzoo.hub.store import remove_versions, store_folder
    from rnnzoo.terminal.display import say

    versions, freed = remove_versions(name, revision)
    for version in versions:
        say(f"{version.name} at commit {version.commit} is deleted.")
    say(f"{freed / 1e6:,.1f} MB are free again in {store_folder()}.")
