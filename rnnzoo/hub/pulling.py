"""From a name and a revision to a version in the local store."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rnnzoo.errors import RnnzooError
from rnnzoo.hub.downloads import complete
from rnnzoo.hub.failures import HubUnreachable, reason
from rnnzoo.hub.published import ask_hub
from rnnzoo.hub.store import Version, check_name, find_version, remember_revision, versions


def pull(name: str, revision: str | None = None) -> Path:
    """Fetch a zoo from the Hub into the local store, or check what is there of it and fetch what is damaged.

    Args:
        name: of its repository, `namespace/name`.
        revision: branch, tag or commit; by default the main branch.

    Returns:
        The zoo's folder, named by the commit.

    Raises:
        UsageError: there is no such repository or revision, or it is no zoo.
        RnnzooError: the Hub cannot be reached, a file that it sends is not what the zoo's manifest lists, or the disk
            is full. What was fetched whole is kept for the next call.
    """
    return pull_version(name, revision)[0].folder


def pull_version(name: str, revision: str | None = None) -> tuple[Version, int]:
    """As `pull`; returns the version, and the bytes that were fetched."""
    check_name(name)
    published = ask_hub(name, revision)
    fetched = complete(published)
    remember_revision(published.version, revision)
    return published.version, fetched


def newest(name: str, revision: str | None) -> tuple[Version, str]:
    """The version that a revision is now, fetched if it is not here; where the Hub gives none, what is here.

    Args:
        name: of its repository, `namespace/name`.
        revision: branch, tag or commit; by default the main branch. For a commit that is here nothing is asked.

    Returns:
        The version and, where the Hub did not say which it is, why.

    Raises:
        UsageError, RnnzooError: as `pull`, where nothing is here.
    """
    here = find_version(name, revision)
    if here is not None and here.commit == revision and here.is_here:
        return here, ""
    try:
        published = ask_hub(name, revision)
    except RnnzooError as error:
        if here is not None:
            return here, reason(error)
        if isinstance(error, HubUnreachable) and (others := versions(name)):
            there = ", ".join(version.described for version in others)
            raise HubUnreachable(f"{error} Here is {there}.", error.reason) from error
        raise
    if not published.version.is_here:
        complete(published)
    # A store that is whole may be one that this user can only read.
    with suppress(RnnzooError):
        remember_revision(published.version, revision)
    return published.version, ""
