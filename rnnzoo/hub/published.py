"""What the Hub says of zoos there: which commit a revision is, which files it has, which zoos a namespace has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from rnnzoo.hub.failures import clear_errors, unexpected_answer
from rnnzoo.hub.store import Version, is_commit

TAG = "rnnzoo"
"""In the card of every zoo that rnnzoo publishes; by it they are found."""
MOST_LISTED = 1000


@dataclass(frozen=True)
class Published:
    """What the Hub says of a zoo at a revision.

    Attributes:
        version: name, and the commit that the revision is now.
        sizes: bytes of every file there, by path; None where the Hub does not say.
    """

    version: Version
    sizes: Mapping[str, int | None]


@dataclass(frozen=True)
class Listed:
    """A zoo in a list of those that are published.

    Attributes:
        version: name, and the commit of its main branch.
        title: as its card has it.
        changed: the day of the last commit, as 2026-12-31; empty where the Hub does not say.
        private: only some may read it.
    """

    version: Version
    title: str
    changed: str
    private: bool


def ask_hub(name: str, revision: str | None) -> Published:
    """Which commit a revision is, and the files there.

    Raises:
        UsageError: there is no such repository or revision.
        RnnzooError: the Hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants

    with clear_errors(name, revision):
        info = HfApi().dataset_info(name, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    if not is_commit(info.sha):
        raise unexpected_answer(name, "it names no commit")
    return Published(Version(name, str(info.sha)), {file.rfilename: file.size for file in info.siblings or ()})


def published_zoos(namespace: str) -> list[Listed]:
    """The zoos of a namespace on the Hub, by name: its datasets whose cards say that they are zoos of rnnzoo.

    Raises:
        RnnzooError: the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with clear_errors(namespace, None):
        found = list(islice(HfApi().list_datasets(author=namespace, filter=TAG, full=True), MOST_LISTED))
        return [
            Listed(
                Version(info.id, str(info.sha)),
                str(getattr(info.card_data, "pretty_name", None) or ""),
                f"{info.last_modified:%Y-%m-%d}" if info.last_modified else "",
                bool(info.private),
            )
            for info in sorted(found, key=lambda info: info.id)
        ]
