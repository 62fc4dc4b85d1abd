"""Repositories on the Hub that zoos are pushed to: whether they can be, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits
from rnnzoo.files.strict_json import read_json
from rnnzoo.format.manifest import FORMAT, MANIFEST
from rnnzoo.hub.repository_files import HUBS_OWN, PublishedFile, listed_paths

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile


def check_names(repository: str, tag: str | None, revision: str) -> None:
    """Refuse names that the Hub does not allow, before anything is done.

    Raises:
        UsageError: names which, and what to give.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
        if repository.count("/") != 1:
            raise HFValidationError("it is not of the form namespace/name")
    except HFValidationError as error:
        raise UsageError(
            f"{repository!r} is no name that the Hub allows ({str(error).partition(chr(10))[0]}): give namespace/name, "
            "the namespace being your account there or an organization."
        ) from error
    for name in (revision, *([] if tag is None else [tag])):
        allowed = re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name, re.ASCII) and not re.search(
            r"\.\.|\.(lock)?(/|$)", name
        )
        if not allowed or re.fullmatch("[0-9a-f]{7,40}", name):
            raise UsageError(
                f"{name!r} cannot be the name of a branch or tag: give letters, digits, and . - _ / between them, such "
                "as v1, and no commit's hash."
            )


def make_repository(api: HfApi, repository: str, private: bool) -> None:
    """Create a repository if it is not there.

    Raises:
        UsageError: there is no token, or the repository is public though it should be private.
    """
    from huggingface_hub import errors, get_token

    if get_token() is None:
        raise UsageError(
            "There is no token of the Hub here: log in with `hf auth login`, or set HF_TOKEN to a token with the right "
            f"to write to {repository.partition('/')[0]}."
        )
    try:
        is_private = api.repo_info(repository, repo_type="dataset").private
    except errors.RepositoryNotFoundError:
        api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        is_private = api.repo_info(repository, repo_type="dataset").private
    if private and not is_private:
        raise UsageError(
            f"{repository} is public: push without --private, or change who sees it in its settings on the Hub."
        )


def files_of(api: HfApi, repository: str, revision: str | None) -> dict[str, RepoFile]:
    """The files of a revision by path."""
    from huggingface_hub.hf_api import RepoFile

    listed = api.list_repo_tree(repository, recursive=True, revision=revision, repo_type="dataset")
    return {entry.path: entry for entry in listed if isinstance(entry, RepoFile)}


def obsolete_paths(
    api: HfApi, repository: str, head: str, there: Mapping[str, RepoFile], files: Sequence[PublishedFile]
) -> list[str]:
    """The data files of the version before which the new one does not have.

    Raises:
        UsageError: what is there is no zoo.
    """
    new = {file.path: file for file in files}
    if not there.keys() - {HUBS_OWN} or new[MANIFEST].is_there(there.get(MANIFEST)):
        return []
    manifest = _remote_manifest(api, repository, head, there)
    if manifest.get("format") != FORMAT:
        raise UsageError(
            f"{repository} on the Hub holds something else than a zoo ({len(there):,} files and no {MANIFEST} of "
            "rnnzoo): give another name, or delete its files there first. Nothing was changed."
        )
    if ".gitignore" in there:
        raise UsageError(f"{repository} on the Hub has a .gitignore, which may keep files away: delete it there first.")
    return sorted((listed_paths(manifest) & there.keys()) - new.keys())


def _remote_manifest(api: HfApi, repository: str, head: str, there: Mapping[str, RepoFile]) -> dict[str, Any]:
    """The JSON of the manifest in a repository; empty if it has none that can be read."""
    if MANIFEST not in there or there[MANIFEST].size > limits.JSON_BYTES:
        return {}
    with TemporaryDirectory() as folder:
        path = api.hf_hub_download(repository, MANIFEST, repo_type="dataset", revision=head, local_dir=folder)
        try:
            return read_json(Path(path), dict[str, Any], "delete it on the Hub")
        except RnnzooError:
            return {}
