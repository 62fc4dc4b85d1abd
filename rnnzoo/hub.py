"""Find a zoo by folder or by name on the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.manifest import MANIFEST, file_sha256, read_manifest

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


def _fetched(name: str, revision: str | None) -> Path:
    """The cached copy of a zoo on the Hub; what is missing or cut in the cache is fetched again."""
    from huggingface_hub import snapshot_download

    with _clear_errors(name, revision):
        folder = Path(snapshot_download(name, repo_type="dataset", revision=revision))
    if not (folder / MANIFEST).is_file():
        _fetch_again(name, folder, MANIFEST)
    for file in read_manifest(folder).files:
        path = folder / file.path
        if path.is_file() and path.stat().st_size == file.size:
            continue
        _fetch_again(name, folder, file.path)
        if path.stat().st_size != file.size or file_sha256(path) != file.sha256:
            raise RnnzooError(
                f"{file.path} of {name} is not what its manifest lists, though it was fetched again: the copy on the "
                "Hub is damaged. Tell its publisher, or load another revision."
            )
    return folder


def _fetch_again(name: str, snapshot: Path, path: str) -> None:
    """Replace a file of a snapshot in the Hub's cache, the blob that its link leads to included."""
    from huggingface_hub import hf_hub_download

    with _clear_errors(name, snapshot.name):
        hf_hub_download(name, path, repo_type="dataset", revision=snapshot.name, force_download=True)


@contextmanager
def _clear_errors(name: str, revision: str | None) -> Iterator[None]:
    """Turn the Hub's errors into one sentence each."""
    from huggingface_hub import errors

    # Which library's errors it passes on when the network fails differs between versions of huggingface_hub.
    of_the_network: tuple[type[Exception], ...] = (*errors.HfHubHTTPError.__bases__, OSError)
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
    except of_the_network as error:
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> RnnzooError:
    from huggingface_hub import constants

    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _first_line(error)
    remedy = "Unset it" if constants.HF_HUB_OFFLINE else "Connect to the network"
    return RnnzooError(
        f"{name} could not be fetched from the Hub and no whole copy is cached ({why}). {remedy}, or name the folder "
        "of a zoo that is here."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
