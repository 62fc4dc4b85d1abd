"""Find a zoo by folder or by name on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.manifest import MANIFEST, read_manifest

ZOOS_FOLDER = Path("zoos")
"""Where `rnnzoo build` puts zoos unless told otherwise, and where zoos are looked for by short name."""


def resolve(path_or_name: str | Path, revision: str | None = None) -> Path:
    """The local folder of a zoo, fetched from the Hub if need be.

    Raises:
        UsageError: neither a folder, nor a zoo in `zoos/`, nor a name on the Hub.
        RnnzooError: the Hub could not be reached and no copy is cached.
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
    return _fetch(name, revision)


def local_zoos(folder: Path = ZOOS_FOLDER) -> list[Path]:
    """The folders of finished zoos below a folder."""
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))


def _fetch(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    from huggingface_hub.utils import httpx

    try:
        folder = Path(snapshot_download(name, repo_type="dataset", revision=revision))
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"There is no dataset {name!r} on the Hub (or it is private and you are not logged in), "
            "and no folder of that name here."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise RnnzooError(
            f"{name} could not be fetched from the Hub and no copy is cached: {error}. "
            "Connect to the network, or name the folder of a zoo built with `rnnzoo build`."
        ) from error
    manifest = read_manifest(folder)
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            raise RnnzooError(f"{path} of {name} did not arrive whole. Delete it and load the zoo again.")
    return folder
