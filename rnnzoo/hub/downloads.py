"""Bring a version of a zoo from the Hub into the local store, each file checked before it counts."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from rnnzoo.errors import RnnzooError
from rnnzoo.files import limits
from rnnzoo.files.atomic import sync_folder
from rnnzoo.format.manifest import MANIFEST, ListedFile, Manifest, file_sha256, read_manifest
from rnnzoo.hub.download_progress import DownloadProgress
from rnnzoo.hub.failures import clear_errors, no_zoo, reason
from rnnzoo.hub.published import Published
from rnnzoo.hub.store import VARIABLE, Version, held, version_at, versions, writing
from rnnzoo.jobs.side_by_side import side_by_side

CARD = "README.md"
ATTEMPTS = 2
"""How often a file is fetched that arrives altered."""
FILES_AT_ONCE = 4
"""Files that are fetched side by side: each waits for several answers before its data comes."""


def complete(published: Published) -> int:
    """Fetch what the store lacks of a version, or what is damaged there; returns the bytes that were fetched.

    Raises:
        UsageError: the repository is no zoo.
        RnnzooError: the Hub cannot be reached, a file is not what the manifest lists, or the disk is full. What was
            fetched whole is kept for the next call.
    """
    version = published.version
    with held(version.name):
        folder = version.folder if version.folder.is_dir() else version.unfinished
        folder.mkdir(parents=True, exist_ok=True)
        try:
            manifest = _manifest(published, folder)
            missing = [file for file in manifest.listed_files if not _is_whole(folder / file.path, file)]
            missing = [file for file in missing if not _linked(file, folder, version)]
            _check_space(folder, missing)
            with DownloadProgress(f"fetching {version.name}", version.arriving, missing) as progress:

                def fetch(file: ListedFile) -> None:
                    _fetch(version, file, folder)
                    progress.finished(file)

                side_by_side(fetch, missing, FILES_AT_ONCE)
            if CARD in published.sizes and not (folder / CARD).is_file():
                _check_bound(published, CARD)
                _keep(_download(version, CARD), folder / CARD)
        finally:
            shutil.rmtree(version.arriving, ignore_errors=True)
            with suppress(OSError):
                # Nothing is left of what is no zoo.
                version.unfinished.rmdir()
                version.unfinished.parent.rmdir()
        if folder != version.folder:
            for inner in {path.parent for path in folder.rglob("*")}:
                sync_folder(inner)
            folder.rename(version.folder)
            sync_folder(version.folder.parent)
    return sum(file.size for file in missing)


def fetch_again(path: Path, listed: ListedFile) -> bool:
    """Replace a damaged file in the store by that of the same commit on the Hub.

    Args:
        path: of the file.
        listed: what the manifest says of it.

    Returns:
        False if the path is not in the store, so that nothing was done.

    Raises:
        RnnzooError: it could not be fetched, or is not what the manifest lists even so.
    """
    folder = path.parents[listed.path.count("/")]
    version = version_at(folder)
    if version is None or not version.is_here:
        return False
    with held(version.name):
        try:
            if not _is_whole(path, listed):
                _fetch(version, listed, folder)
        except RnnzooError as error:
            raise RnnzooError(
                f"{path} is damaged and could not be fetched again ({reason(error)}). When the Hub can be reached, "
                f"`rnnzoo pull {version.name} --revision {version.commit}` mends it."
            ) from error
        finally:
            shutil.rmtree(version.arriving, ignore_errors=True)
    return True


def _manifest(published: Published, folder: Path) -> Manifest:
    """The manifest in a version's folder, fetched if it is missing or damaged there."""
    with suppress(RnnzooError):
        return read_manifest(folder)
    version = published.version
    if MANIFEST not in published.sizes:
        raise no_zoo(version.name, MANIFEST)
    _check_bound(published, MANIFEST)
    path = _download(version, MANIFEST)
    try:
        manifest = read_manifest(path.parent)
    except RnnzooError as error:
        told = str(error).replace(str(path), f"its {MANIFEST}")
        raise RnnzooError(f"{version.name} cannot be used as it is on the Hub at {version.commit}: {told}") from error
    _check_sizes(published, manifest)
    _keep(path, folder / MANIFEST)
    return manifest


def _check_bound(published: Published, path: str) -> None:
    """Refuse a file that no manifest vouches for if it is larger than any text of a zoo."""
    if (published.sizes[path] or 0) > limits.JSON_BYTES:
        raise RnnzooError(
            f"{published.version.name} cannot be used as it is on the Hub: its {path} is larger than "
            f"{limits.JSON_BYTES:,} bytes. Its publisher should know; another --revision may be sound."
        )


def _check_sizes(published: Published, manifest: Manifest) -> None:
    """Refuse a repository that lacks files or has others, before any of them is fetched."""
    name = published.version.name
    for file in manifest.listed_files:
        if file.path not in published.sizes:
            raise no_zoo(name, file.path)
        if (size := published.sizes[file.path]) not in (None, file.size):
            raise RnnzooError(
                f"{name} cannot be used as it is on the Hub: {file.path} has {size:,} bytes there, and its {MANIFEST} "
                f"lists it with {file.size:,}. Its publisher should know; another --revision may be sound."
            )


def _check_space(folder: Path, files: list[ListedFile]) -> None:
    needed, free = sum(file.size for file in files), shutil.disk_usage(folder).free
    if needed > free:
        raise RnnzooError(
            f"The disk is too full: {needed / 1e6:,.1f} MB are to be fetched into {folder.parent}, and "
            f"{free / 1e6:,.1f} MB are free. Free some space (`rnnzoo remove` deletes zoos that were fetched), or name "
            f"a folder on another disk by {VARIABLE}."
        )


def _linked(listed: ListedFile, folder: Path, version: Version) -> bool:
    """Whether another version of the name has the same file, which then is the same on disk, too."""
    for other in versions(version.name):
        found = other.folder / listed.path
        if other != version and _is_whole(found, listed):
            target = folder / listed.path
            target.parent.mkdir(exist_ok=True)
            target.unlink(missing_ok=True)
            with suppress(OSError):
                os.link(found, target)
                return True
    return False


def _fetch(version: Version, listed: ListedFile, folder: Path) -> None:
    """Bring a listed file to its place in a version's folder."""
    for _ in range(ATTEMPTS):
        found = _download(version, listed.path)
        if _is_whole(found, listed):
            _keep(found, folder / listed.path)
            return
        found.unlink()
    raise RnnzooError(
        f"{listed.path} of {version.name} was fetched {ATTEMPTS} times, and is not what its {MANIFEST} lists: the copy "
        "on the Hub is damaged, and its publisher should know, or something on the way alters it."
    )


def _download(version: Version, path: str) -> Path:
    """A file of a version, fetched and not yet checked."""
    from huggingface_hub import hf_hub_download

    with clear_errors(version.name, version.commit), writing():
        try:
            hf_hub_download(
                version.name, path, repo_type="dataset", revision=version.commit, local_dir=version.arriving
            )
        except RuntimeError as error:
            # So hf_xet, which fetches large files, tells of anything that fails.
            raise OSError(str(error)) from error
    return version.arriving / path


def _keep(found: Path, target: Path) -> None:
    """Put a checked file in its place, whole whatever happens."""
    target.parent.mkdir(exist_ok=True)
    with open(found, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(found, target)
    sync_folder(target.parent)


def _is_whole(path: Path, listed: ListedFile) -> bool:
    return path.is_file() and path.stat().st_size == listed.size and file_sha256(path) == listed.sha256
