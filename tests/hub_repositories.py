"""Dataset repositories as a Hub keeps them: files by commit, branches, tags, large contents by checksum."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

ATTRIBUTES = b"*.h5 filter=lfs diff=lfs merge=lfs -text\n*.parquet filter=lfs diff=lfs merge=lfs -text\n"
LARGE = (".h5", ".parquet", ".png")
"""Endings of files that are kept as large ones whatever their size."""
REGULAR_BYTES = 10_000_000


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit.

    Attributes:
        content: its bytes.
        large: it is uploaded by its checksum apart from the commit, and served from elsewhere.
    """

    content: bytes
    large: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def git_name(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git_name

    def described(self, path: str, commit: Commit) -> dict[str, Any]:
        """As listings show it."""
        last = {"id": commit.name, "title": commit.title, "date": commit.date}
        shown = {"type": "file", "path": path, "oid": self.git_name, "size": len(self.content), "lastCommit": last}
        if self.large:
            shown["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}
        return shown


@dataclass(frozen=True)
class Commit:
    """The state of a repository after a change."""

    name: str
    title: str
    date: str
    files: Mapping[str, StoredFile]


@dataclass
class Repository:
    """A dataset repository.

    Attributes:
        name: `namespace/name`.
        private: only accounts of its namespace see it.
    """

    name: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit({".gitattributes": ATTRIBUTES}, "initial commit")

    def commit(
        self, files: Mapping[str, bytes | StoredFile | None], title: str = "A change", branch: str = "main"
    ) -> str:
        """Change files, or delete those that are None; returns the commit."""
        before = self.commits[self.branches[branch]].files if self.branches else {}
        changed = {
            path: StoredFile(content, is_large(path, len(content))) if isinstance(content, bytes) else content
            for path, content in files.items()
        }
        after = {path: file for path, file in {**before, **changed}.items() if file is not None}
        number = len(self.commits)
        listed = repr((number, title, sorted((path, file.sha256) for path, file in after.items())))
        name = hashlib.sha1(listed.encode()).hexdigest()
        date = f"2026-01-01T{number // 60:02}:{number % 60:02}:00.000Z"
        self.commits[name] = Commit(name, title, date, after)
        self.branches[branch] = name
        return name

    def resolve(self, revision: str) -> Commit | None:
        """The commit of a branch, a tag or a whole hash."""
        name = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(name)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Contents by path, without what the Hub itself put there."""
        commit = self.resolve(revision)
        assert commit is not None
        return {path: file.content for path, file in commit.files.items() if path != ".gitattributes"}

    def described(self, commit: Commit) -> dict[str, Any]:
        """As listings of repositories show it."""
        card = commit.files.get("README.md", StoredFile(b"", False)).content.decode()
        matter = yaml.safe_load(card.split("---\n")[1]) if card.startswith("---\n") else {}
        license_tag = [f"license:{matter['license']}"] if "license" in matter else []
        return {
            "_id": hashlib.sha1(self.name.encode()).hexdigest()[:24],
            "id": self.name,
            "author": self.name.partition("/")[0],
            "sha": commit.name,
            "lastModified": commit.date,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "private": self.private,
            "gated": False,
            "disabled": False,
            "tags": [*matter.get("tags", []), *license_tag],
            "cardData": matter,
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path, "size": len(file.content)} for path, file in commit.files.items()],
        }


def is_large(path: str, size: int) -> bool:
    """Whether a new file is kept as a large one."""
    return path.endswith(LARGE) or size > REGULAR_BYTES


def listing(commit: Commit, folder: str, recursive: bool) -> Iterator[dict[str, Any]]:
    """The files and folders in a folder of a commit, sorted by path."""
    prefix = folder.strip("/") + "/" if folder.strip("/") else ""
    inside = sorted(path for path in commit.files if path.startswith(prefix))
    parents = {
        prefix + "/".join(parts)
        for path in inside
        for parts in itertools.accumulate([part] for part in path.removeprefix(prefix).split("/")[:-1])
    }
    for path in sorted([*inside, *parents]):
        if recursive or "/" not in path.removeprefix(prefix):
            yield commit.files[path].described(path, commit) if path in commit.files else described_folder(path)


def described_folder(path: str) -> dict[str, Any]:
    """As listings show it."""
    return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
