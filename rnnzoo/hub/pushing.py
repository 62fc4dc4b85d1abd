"""Publish a zoo on the Hub: verified, in one commit, so that readers find the old version or the new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.manifest import MANIFEST, read_manifest
from rnnzoo.format.verification import verify
from rnnzoo.hub.failures import clear_push_errors
from rnnzoo.hub.names import resolve
from rnnzoo.hub.repositories import check_names, files_of, make_repository, obsolete_paths
from rnnzoo.hub.repository_files import PublishedFile, different, named_otherwise, published_files
from rnnzoo.version import __version__
from rnnzoo.zoo.cards.additions import additions
from rnnzoo.zoo.zoo import Zoo

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.hf_api import RepoFile

MOST_FILES = 25_000
"""Files that the Hub takes in one commit."""

UPLOADS_AT_ONCE = 5
"""Files that are uploaded side by side; after each handful it is said how far the upload is."""

Report = Callable[[str, float, float], None]
"""Told what is done, in a word, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Publication:
    """What a push led to.

    Attributes:
        repository: its name on the Hub.
        commit: the last of the branch, which holds the zoo; whole hash.
        tagged: the commit that the tag names, the same unless a card was published anew; None without tag.
        address: of the page that shows the commit.
        files: paths of the files that the push changed; empty if all were there.
        size: bytes of these files.
    """

    repository: str
    commit: str
    tagged: str | None
    address: str
    files: tuple[str, ...]
    size: int


def push(
    zoo: str | Path,
    repository: str,
    *,
    private: bool = False,
    tag: str | None = None,
    revision: str = "main",
    results: str | Path | None = None,
    report: Report = lambda what, done, total: None,
) -> Publication:
    """Publish a zoo as a dataset on the Hugging Face Hub, in one commit.

    Readers see the branch as it was until all is uploaded. What is there already is not uploaded again, so that an
    upload that was interrupted goes on where it was when the zoo is pushed again.

    Args:
        zoo: a folder, or the name of a zoo.
        repository: `namespace/name`; it is created if it is not there.
        private: create it so that only its owners see it.
        tag: a name for this version of the zoo that never changes.
        revision: the branch; it is created from main if it is not there.
        results: of `rnnzoo.evaluate` on this zoo, for a section of its card on baselines.
        report: told of the progress of checking and uploading.

    Raises:
        UsageError: names that the Hub does not allow, missing rights, a tag that another version has, or a repository
            that holds something else. Nothing is uploaded.
        RnnzooError: the zoo is not sound, somebody else changed the repository meanwhile, or the Hub failed.
    """
    from huggingface_hub import HfApi, constants

    check_names(repository, tag, revision)
    files = files_to_publish(resolve(zoo), repository, tag or revision, results, report)
    with clear_push_errors(repository):
        api = HfApi(library_name="rnnzoo", library_version=__version__)
        make_repository(api, repository, private)
        refs = api.list_repo_refs(repository, repo_type="dataset")
        branches = {branch.name: branch.target_commit for branch in refs.branches}
        tags = {reference.name: reference.target_commit for reference in refs.tags}
        if revision in tags or tag in branches:
            raise UsageError(
                f"{revision if revision in tags else tag} is a {'tag' if revision in tags else 'branch'} of "
                f"{repository}: a zoo is pushed to a branch, and then has a tag; give another name."
            )
        if tag in tags:
            _check_tag(files, files_of(api, repository, tag), repository, tag)
        head = branches.get(revision, branches["main"])
        there = files_of(api, repository, head)
        obsolete = obsolete_paths(api, repository, head, there, files)
        changed = [
            file
            for file in different(files, there)
            if not named_otherwise(file, there.get(file.path), tag or revision, [revision, *tags])
        ]
        if revision not in branches:
            api.create_branch(repository, branch=revision, revision=head, repo_type="dataset")
        commit = head
        if changed or obsolete:
            commit = _commit(api, repository, revision, head, changed, obsolete, report)
    if tag is not None and tag not in tags:
        with clear_push_errors(repository, f"the zoo is published as commit {commit}, but it has no tag yet"):
            api.create_tag(repository, tag=tag, revision=commit, repo_type="dataset")
    return Publication(
        repository,
        commit,
        tag and tags.get(tag, commit),
        f"{constants.ENDPOINT}/datasets/{repository}/tree/{commit}",
        tuple(file.path for file in changed),
        sum(file.size for file in changed),
    )


def files_to_publish(
    folder: Path, repository: str, revision: str, results: str | Path | None, report: Report
) -> list[PublishedFile]:
    """What a repository holds of a zoo, once the zoo is sound; see `push`.

    Raises:
        UsageError: it has more files than can become visible at once, or the results are of another zoo.
        RnnzooError: it does not verify, or the results are damaged.
    """
    for check in verify(folder, advance=lambda done, total: report("checking", done, total)):
        if check.problems:
            raise RnnzooError(
                f"{folder} is not sound and was not published: {check.problems[0]} "
                f"(`rnnzoo verify {folder}` lists all that is wrong.)"
            )
    manifest = read_manifest(folder)
    if (count := len(manifest.listed_files)) > MOST_FILES:
        raise UsageError(
            f"{folder} has {count:,} files, more than the {MOST_FILES:,} that the Hub takes in one commit: publish it "
            "as several zoos."
        )
    said = additions(manifest, None if results is None else Path(results))
    return published_files(Zoo(folder, manifest), repository, revision, said)


def _check_tag(files: Sequence[PublishedFile], there: Mapping[str, RepoFile], repository: str, tag: str) -> None:
    """Refuse another zoo under a tag; that the card of the same zoo is another is no matter."""
    of_the_zoo = [file for file in files if file.path == MANIFEST or isinstance(file.source, Path)]
    if other := different(of_the_zoo, there):
        raise UsageError(
            f"{repository} has another version as {tag} already ({other[0].path} differs), and a tag stays what it is: "
            "give this version a tag of its own. Nothing was uploaded."
        )


def _commit(
    api: HfApi,
    repository: str,
    branch: str,
    parent: str,
    changed: Sequence[PublishedFile],
    obsolete: Sequence[str],
    report: Report,
) -> str:
    """Upload files and make them visible at once; returns the commit.

    The Hub keeps large files that were uploaded and are in no commit yet, which is what an interrupted push goes on
    from. The commit is refused by the Hub if its parent is no longer the branch's last.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    additions = [CommitOperationAdd(file.path, file.source) for file in changed]
    total = sum(file.size for file in changed)
    done = 0
    for start in range(0, len(additions), UPLOADS_AT_ONCE):
        report("uploading", done, total)
        together = slice(start, start + UPLOADS_AT_ONCE)
        api.preupload_lfs_files(
            repository, additions[together], repo_type="dataset", revision=branch, free_memory=False
        )
        _check_unchanged(changed[together], additions[together])
        done += sum(file.size for file in changed[together])
    report("uploading", total, total)
    deletions = [CommitOperationDelete(path) for path in obsolete]
    return api.create_commit(
        repository,
        [*additions, *deletions],
        commit_message=f"Publish the zoo with rnnzoo {__version__}",
        repo_type="dataset",
        revision=branch,
        parent_commit=parent,
    ).oid


def _check_unchanged(files: Sequence[PublishedFile], uploaded: Sequence[CommitOperationAdd]) -> None:
    """Refuse to publish what was changed after it was verified."""
    for file, addition in zip(files, uploaded, strict=True):
        if addition.upload_info.sha256.hex() != file.sha256:
            raise RnnzooError(
                f"{file.path} was changed while it was uploaded, so that nothing was published: push the zoo again."
            )
