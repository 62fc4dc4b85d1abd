"""Fetch zoos from the Hub, and replace files of its cache that are damaged."""

from __future__ import annotations

import re
from pathlib import Path

from rnnzoo.errors import RnnzooError
from rnnzoo.format.manifest import MANIFEST, ShardFile, file_sha256, read_manifest
from rnnzoo.hub.failures import clear_errors, of_the_network, reason


def fetched(name: str, revision: str | None) -> Path:
    """The cached copy of a zoo on the Hub; what is missing or cut in the cache is fetched again."""
    from huggingface_hub import hf_hub_download, snapshot_download

    with clear_errors(name, revision):
        folder = Path(snapshot_download(name, repo_type="dataset", revision=revision))
        if not (folder / MANIFEST).is_file():
            hf_hub_download(name, MANIFEST, repo_type="dataset", revision=folder.name)
    for file in read_manifest(folder).files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            fetch_again(path, file)
    return folder


def fetch_again(path: Path, listed: ShardFile) -> bool:
    """Replace a damaged file in the Hub's cache by that of the same commit on the Hub.

    Args:
        path: of the file; links in the cache lead to blobs, and it is the blob that is replaced.
        listed: what the manifest says of it.

    Returns:
        False if the path is not in the Hub's cache, so that nothing was done.

    Raises:
        RnnzooError: it could not be fetched, or is not what the manifest lists even so.
    """
    from huggingface_hub import errors, hf_hub_download

    place = _place_in_cache(path)
    if place is None:
        return False
    name, commit, file = place
    # That a download cannot be forced without network is a ValueError.
    failures: tuple[type[Exception], ...] = (*of_the_network(), errors.EntryNotFoundError, ValueError)
    try:
        hf_hub_download(name, file, repo_type="dataset", revision=commit, force_download=True)
    except failures as error:
        raise RnnzooError(
            f"{path} is damaged and could not be fetched again ({reason(error)}): delete {path.resolve()} and load "
            "the zoo again by its name when the Hub can be reached."
        ) from error
    if path.stat().st_size != listed.size or file_sha256(path) != listed.sha256:
        raise RnnzooError(
            f"{path} is not what its manifest lists, though it was fetched again: delete {path.resolve()} and the "
            f"{MANIFEST} beside the data, and load the zoo again by its name; if that does not help, the copy on the "
            "Hub is damaged, and its publisher should know."
        )
    return True


def _place_in_cache(path: Path) -> tuple[str, str, str] | None:
    """Name, commit and path in its repository of a file of a dataset in the Hub's cache; None for any other file."""
    from huggingface_hub import constants

    # The file itself may be a link into blobs.
    real, cache = path.parent.resolve() / path.name, Path(constants.HF_HUB_CACHE).resolve()
    if not real.is_relative_to(cache):
        return None
    form = r"datasets--(?P<namespace>[^/]+)--(?P<name>[^/]+)/snapshots/(?P<commit>[^/]+)/(?P<file>.+)"
    found = re.fullmatch(form, real.relative_to(cache).as_posix())
    return found and (f"{found['namespace']}/{found['name']}", found["commit"], found["file"])
