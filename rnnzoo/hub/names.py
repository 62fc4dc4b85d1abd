"""Find a zoo by folder or by name on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from rnnzoo.errors import UsageError
from rnnzoo.format.manifest import MANIFEST
from rnnzoo.hub.downloads import fetched
from rnnzoo.samples import sample_folder

ZOOS_FOLDER = Path("zoos")
"""Where `rnnzoo build` puts zoos unless told otherwise, and where zoos are looked for by short name."""


def resolve(path_or_name: str | Path, revision: str | None = None) -> Path:
    """The local folder of a zoo, fetched from the Hub if need be.

    Raises:
        UsageError: neither a folder, nor a zoo in `zoos/`, nor a sample of the package, nor a zoo on the Hub, or no
            such revision of it.
        RnnzooError: the Hub could not be reached and no whole copy is cached.
    """
    folder = Path(path_or_name)
    if folder.is_dir():
        return folder
    name = str(path_or_name)
    if (ZOOS_FOLDER / name / MANIFEST).is_file():
        return ZOOS_FOLDER / name
    if sample := sample_folder(name):
        return sample
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        here = ", ".join(str(zoo) for zoo in local_zoos()) or "none"
        raise UsageError(
            f"There is no zoo {name!r}: it is neither a folder nor a name on the Hub (namespace/name). "
            f"Zoos in ./{ZOOS_FOLDER}: {here}. Build one with `rnnzoo build formal-languages`."
        )
    return fetched(name, revision)


def local_zoos(folder: Path = ZOOS_FOLDER) -> list[Path]:
    """The folders of finished zoos below a folder."""
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
