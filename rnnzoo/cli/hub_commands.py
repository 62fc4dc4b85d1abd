"""Commands that publish zoos on the Hub and fetch them from there: push, pull, remove."""

from __future__ import annotations

import click

from rnnzoo.cli.revision_option import revision_option


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

    version, fetched = pull_version(repository, revision)
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
