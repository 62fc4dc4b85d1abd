"""The local store: zoos fetched from the Hub, each version of each whole in a folder of its own.

In the folder that RNNZOO_HOME names, `NAMESPACE/NAME/COMMIT/` is a zoo's folder, which gets this name when it has all
its files, and `NAMESPACE/NAME/revisions.json` says which commits branches and tags were when the Hub was last asked.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.atomic import write_json
from rnnzoo.files.strict_json import read_json
from rnnzoo.files.write_errors import clear_write_errors
from rnnzoo.format import cache
from rnnzoo.format.manifest import MANIFEST, read_manifest

VARIABLE = "RNNZOO_HOME"
REVISIONS = "revisions.json"
MAIN = "main"
"""The branch that a name without a revision means."""
SHORTEST_COMMIT = 7
"""Characters by which a commit may be named, as git has it."""
_COMMIT = r"[0-9a-f]{40}"
_NAME = r"[\w-][\w.-]*/[\w-][\w.-]*"


@dataclass(frozen=True)
class Version:
    """A published zoo at one commit, fetched or not.

    Attributes:
        name: of its repository on the Hub, `namespace/name`.
        commit: 40 hexadecimal digits.
    """

    name: str
    commit: str

    @property
    def folder(self) -> Path:
        """Where it is once it is whole."""
        return store_folder() / self.name / self.commit

    @property
    def unfinished(self) -> Path:
        """Where its files come together before that."""
        return self.folder.with_name(f".{self.commit}.partial")

    @property
    def arriving(self) -> Path:
        """Where each file arrives before it is checked: a short path, since huggingface_hub adds 137 characters."""
        return store_folder() / ".arriving" / hashlib.sha256(f"{self.name}@{self.commit}".encode()).hexdigest()[:16]

    @property
    def is_here(self) -> bool:
        """Whether it was fetched, and its manifest not deleted since; a shard that was is fetched when it is read."""
        return (self.folder / MANIFEST).is_file()

    @property
    def revisions(self) -> list[str]:
        """The branches and tags that were last seen to be this commit."""
        return [name for name, commit in _read_revisions(self.name).items() if commit == self.commit]

    @property
    def described(self) -> str:
        """The commit, short, and what is known to be it."""
        return " ".join([self.commit[:12], *([f"({', '.join(self.revisions)})"] if self.revisions else [])])


def store_folder() -> Path:
    """Where the store is: `RNNZOO_HOME`, by default in the user's cache folder."""
    return cache.folder_named_by(VARIABLE, "zoos")


def is_name(text: str) -> bool:
    """Whether a text has the form of a name on the Hub, `namespace/name`."""
    return re.fullmatch(_NAME, text) is not None


def check_name(text: str) -> None:
    """Refuse what has not the form of a name on the Hub.

    Raises:
        UsageError: it has not.
    """
    if not is_name(text):
        raise UsageError(f"{text!r} is no name on the Hub: give namespace/name, such as rnnzoo/smnist.")


def is_commit(text: str | None) -> bool:
    """Whether a text is a whole commit hash, which means the same version for ever."""
    return text is not None and re.fullmatch(_COMMIT, text) is not None


def versions(name: str = "*/*") -> list[Version]:
    """The versions that are in the store, of one name or of all: by name, the last fetched first."""
    folders = [folder for folder in store_folder().glob(f"{name}/*") if folder.is_dir() and is_commit(folder.name)]
    folders.sort(key=lambda folder: (folder.parts[-3:-1], -folder.stat().st_mtime))
    return [Version("/".join(folder.parts[-3:-1]), folder.name) for folder in folders]


def version_at(folder: Path) -> Version | None:
    """The version whose folder this is; None for a folder elsewhere."""
    folder, store = folder.resolve(), store_folder().resolve()
    name = "/".join(folder.parts[-3:-1])
    inside = folder.parent.parent.parent == store and is_name(name) and is_commit(folder.name)
    return Version(name, folder.name) if inside else None


def identity(folder: Path) -> dict[str, str | None]:
    """What is recorded of a zoo that something was made of: its folder, or its name on the Hub and the commit."""
    version = version_at(folder)
    if version is None:
        return {"folder": folder.resolve().name, "revision": None}
    return {"folder": version.name, "revision": version.commit}


def find_version(name: str, revision: str | None) -> Version | None:
    """What the store has of a name, without asking the Hub.

    Args:
        name: on the Hub.
        revision: a branch or tag as last seen, or a commit or its beginning; None for the main branch or, where that
            was not fetched, what was fetched last.
    """
    here = versions(name)
    commit = _read_revisions(name).get(revision or MAIN)
    by_revision = [version for version in here if version.commit == commit]
    if revision is None:
        return next(iter(by_revision or here), None)
    by_commit = [version for version in here if version.commit.startswith(revision)]
    named = len(by_commit) == 1 and len(revision) >= SHORTEST_COMMIT
    return next(iter(by_revision), by_commit[0] if named else None)


def remember_revision(version: Version, revision: str | None) -> None:
    """Keep which commit a branch or tag was seen to be."""
    known = _read_revisions(version.name)
    if is_commit(revision) or known.get(revision or MAIN) == version.commit:
        return
    with held(version.name):
        known = _read_revisions(version.name) | {revision or MAIN: version.commit}
        write_json(_revisions_path(version.name), known)


@contextmanager
def held(name: str) -> Iterator[None]:
    """Keep the versions of a name to this process; others wait.

    Raises:
        RnnzooError: the store cannot be written to.
    """
    from huggingface_hub.utils import WeakFileLock

    lock = store_folder() / ".locks" / f"{name.replace('/', '--')}.lock"
    with writing():
        lock.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            yield


@contextmanager
def writing() -> Iterator[None]:
    """Turn what the system refuses while the store is written to into an error users can act on."""
    with clear_write_errors(store_folder(), f"name a folder you may write to by {VARIABLE}"):
        yield


def remove_versions(name: str, revision: str | None = None) -> tuple[list[Version], int]:
    """Delete a name's versions, and what of them is kept decoded.

    Args:
        name: on the Hub.
        revision: only this one, as `find_version` takes it; None for all, and what is left of interrupted downloads.

    Returns:
        The versions, and bytes that are free again; files that versions share are freed with the last of them.

    Raises:
        UsageError: there is no such version here.
        RnnzooError: it cannot be deleted.
    """
    check_name(name)
    with held(name):
        here = versions(name)
        found = here if revision is None else [version for version in [find_version(name, revision)] if version]
        rest = (
            [] if revision else [Version(name, path.name[1:41]) for path in (store_folder() / name).glob(".*.partial")]
        )
        if not found and not rest:
            there = ", ".join(version.described for version in here)
            known = f"of {name} there is {there}" if here else f"nothing is there of {name}; `rnnzoo list` says what is"
            raise UsageError(f"There is no {name}{f' at {revision}' if revision else ''} in {store_folder()}: {known}.")
        freed = sum(_delete(version) for version in found) + sum(map(_delete_unfinished, rest))
        if not versions(name):
            shutil.rmtree(store_folder() / name)
        return found, freed


def _delete(version: Version) -> int:
    freed = 0
    # A damaged manifest names no files whose decoded columns could be deleted.
    with suppress(RnnzooError):
        freed += cache.forget([file.sha256 for file in read_manifest(version.folder).files])
    # Under the name of an unfinished one it is not taken for whole if this process is killed.
    shutil.rmtree(version.unfinished, ignore_errors=True)
    version.folder.rename(version.unfinished)
    return freed + _delete_unfinished(version)


def _delete_unfinished(version: Version) -> int:
    folders = [version.unfinished, version.arriving]
    files = [path.stat() for folder in folders for path in folder.rglob("*") if path.is_file()]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=not folder.exists())
    return sum(status.st_size for status in files if status.st_nlink == 1)


def _revisions_path(name: str) -> Path:
    return store_folder() / name / REVISIONS


def _read_revisions(name: str) -> dict[str, str]:
    path = _revisions_path(name)
    try:
        return read_json(path, dict[str, Annotated[str, Meta(pattern=rf"\A{_COMMIT}\Z")]], "delete it")
    except FileNotFoundError:
        return {}
