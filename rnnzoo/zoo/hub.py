"""Find a zoo by folder or by name on the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.manifest import MANIFEST, ShardFile, file_sha256, read_manifest

ZOOS_FOLDER = Path("zoos")
"""Where `rnnzoo build` puts zoos unless told otherwise, and where zoos are looked for by short name."""


def resolve(path_or_name: str | Path, revision: str | None = None) -> Path:
    """The local folder of a zoo, fetched from the Hub if need be.

    Raises:
        UsageError: neither a folder, nor a zoo in `zoos/`, nor a zoo on the Hub, or no such revision of it.
        RnnzooError: the Hub could not be reached and no whole copy is cached.
    """
    folder = Path(path_or_name)
    if folder.is_dir():
        return folder
    name = str(path_or_name)
    if (ZOOS_FOLDER / name / MANIFEST).is_file():
        return ZOOS_FOLDER / name
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        here = ", ".join(str(zoo) for zoo in local_zoos()) or "none"
        raise UsageError(
            f"There is no zoo {name!r}: it is neither a folder nor a name on the Hub (namespace/name). "
            f"Zoos in ./{ZOOS_FOLDER}: {here}. Build one with `rnnzoo build formal-languages`."
        )
    return _fetched(name, revision)


def local_zoos(folder: Path = ZOOS_FOLDER) -> list[Path]:
    """The folders of finished zoos below a folder."""
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))


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
    failures: tuple[type[Exception], ...] = (*_of_the_network(), errors.EntryNotFoundError, ValueError)
    try:
        hf_hub_download(name, file, repo_type="dataset", revision=commit, force_download=True)
    except failures as error:
        raise RnnzooError(
            f"{path} is damaged and could not be fetched again ({_reason(error)}): delete {path.resolve()} and load "
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


def _fetched(name: str, revision: str | None) -> Path:
    """The cached copy of a zoo on the Hub; what is missing or cut in the cache is fetched again."""
    from huggingface_hub import hf_hub_download, snapshot_download

    with _clear_errors(name, revision):
        folder = Path(snapshot_download(name, repo_type="dataset", revision=revision))
        if not (folder / MANIFEST).is_file():
            hf_hub_download(name, MANIFEST, repo_type="dataset", revision=folder.name)
    for file in read_manifest(folder).files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            fetch_again(path, file)
    return folder


@contextmanager
def _clear_errors(name: str, revision: str | None) -> Iterator[None]:
    """Turn the Hub's errors into one sentence each."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise UsageError(
            f"{name} on the Hub has no revision {revision!r}: give a branch, a tag or a whole commit hash of it."
        ) from error
    except errors.GatedRepoError as error:
        raise UsageError(f"{name} on the Hub asks for consent: accept its terms there, and log in here.") from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"There is no dataset {name!r} on the Hub (or it is private and you are not logged in), "
            "and no folder of that name here."
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"{name!r} is no name that the Hub allows ({_first_line(error)}).") from error
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _unreachable(name, error) from error
        raise UsageError(
            f"{name} on the Hub is no whole zoo of rnnzoo: a file is missing there, {MANIFEST} or one that it lists. "
            "Check the name and the revision."
        ) from error
    except _of_the_network() as error:
        raise _unreachable(name, error) from error


def _of_the_network() -> tuple[type[Exception], ...]:
    """Which library's errors are passed on when the network fails differs between versions of huggingface_hub."""
    from huggingface_hub import errors

    return *errors.HfHubHTTPError.__bases__, OSError


def _unreachable(name: str, error: Exception) -> RnnzooError:
    from huggingface_hub import constants

    remedy = "Unset it" if constants.HF_HUB_OFFLINE else "Connect to the network"
    return RnnzooError(
        f"{name} could not be fetched from the Hub and no whole copy is cached ({_reason(error)}). {remedy}, or name "
        "the folder of a zoo that is here."
    )


def _reason(error: Exception) -> str:
    from huggingface_hub import constants

    return "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _first_line(error)


def _first_line(error: BaseException) -> str:
    # huggingface_hub's own text may only say "due to the above error", which is its cause.
    error = error.__cause__ or error
    return str(error).strip().partition("\n")[0] or type(error).__name__
