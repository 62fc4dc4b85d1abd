"""What a repository of the Hub holds of a zoo, and what of it is there already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnzoo.format.manifest import MANIFEST
from rnnzoo.zoo.cards import repository_texts
from rnnzoo.zoo.zoo import Zoo

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

HUBS_OWN = ".gitattributes"
"""The file that the Hub itself puts into a new repository."""


@dataclass(frozen=True)
class PublishedFile:
    """A file of a repository.

    Attributes:
        path: in the repository.
        source: its content, or the file that has it.
        size: in bytes.
        sha256: of its content, hexadecimal.
    """

    path: str
    source: bytes | Path
    size: int
    sha256: str

    def is_there(self, remote: RepoFile | None) -> bool:
        """Whether a file of a repository has this content."""
        if remote is None or remote.size != self.size:
            return False
        if remote.lfs is not None:
            return remote.lfs.sha256 == self.sha256
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return remote.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def published_text(path: str, content: bytes) -> PublishedFile:
    """A file of a repository that is no file of the zoo's folder."""
    return PublishedFile(path, content, len(content), hashlib.sha256(content).hexdigest())


def published_files(zoo: Zoo, repository: str, revision: str, additions: Mapping[str, Any]) -> list[PublishedFile]:
    """What is published of a zoo: its manifest, its data, and the texts that go with them, in this order.

    Args:
        zoo: all rows of it.
        repository: its name on the Hub, `namespace/name`.
        revision: branch or tag by which the texts name the files.
        additions: further arguments of `rnnzoo.zoo.cards.repository_texts`.
    """
    texts = repository_texts(zoo, repository, revision, **additions)
    return [
        published_text(MANIFEST, (zoo.folder / MANIFEST).read_bytes()),
        *(
            PublishedFile(file.path, zoo.folder / file.path, file.size, file.sha256)
            for file in zoo.manifest.listed_files
        ),
        *(published_text(path, content) for path, content in texts.items()),
    ]


def different(files: Sequence[PublishedFile], there: Mapping[str, RepoFile]) -> list[PublishedFile]:
    """The files that a repository lacks, or has with another content."""
    return [file for file in files if not file.is_there(there.get(file.path))]


def named_otherwise(file: PublishedFile, remote: RepoFile | None, revision: str, others: Iterable[str]) -> bool:
    """Whether a text is there, but for the branch or tag by which its addresses name the zoo's files."""
    if not isinstance(file.source, bytes):
        return False
    address = f"/resolve/{revision}/".encode()
    sources = [file.source.replace(address, f"/resolve/{other}/".encode()) for other in others]
    return any(published_text(file.path, source).is_there(remote) for source in sources)


def listed_paths(manifest: Mapping[str, Any]) -> set[str]:
    """The files that a manifest vouches for, as JSON data of any version of the format."""
    lists = [value for value in manifest.values() if isinstance(value, list)]
    entries = [entry for entries in lists for entry in entries if isinstance(entry, dict) and "sha256" in entry]
    return {entry["path"] for entry in entries if isinstance(entry.get("path"), str)}
