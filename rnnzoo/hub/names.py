"""Find a zoo by folder or by name on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from rnnzoo.errors import UsageError
from rnnzoo.format.manifest import MANIFEST
from rnnzoo.hub.pulling import newest
from rnnzoo.hub.store import is_name
from rnnzoo.samples import sample_folder
from rnnzoo.terminal.display import say

ZOOS_FOLDER = Path("zoos")
"""Where `rnnzoo build` puts zoos unless told otherwise, and where zoos are looked for by short name."""


def resolve(path_or_name: str | Path, revision: str | None = None) -> Path:
    """The local folder of a zoo, fetched from the Hub if need be.

    Where the Hub does not say which commit a name is now, what the local store has of it is taken, and a line on
    standard error says which version that is.

    Raises:
        UsageError: neither a folder, nor a zoo in `zoos/`, nor a sample of the package, nor a zoo on the Hub, or no
            such revision of it.
        RnnzooError: the Hub could not be reached and no whole copy is here.
    """
    name = str(path_or_name)
    if folder := _local_folder(name):
        if revision is not None:
            raise UsageError(
                f"{folder} is a folder here, which has no revisions: leave out --revision {revision}, or name a zoo on "
                "the Hub by namespace/name."
            )
        return folder
    if not is_name(name):
        here = ", ".join(str(zoo) for zoo in local_zoos()) or "none"
        raise UsageError(
            f"There is no zoo {name!r}: it is neither a folder nor a name on the Hub (namespace/name). "
            f"Zoos in ./{ZOOS_FOLDER}: {here}. Build one with `rnnzoo build formal-languages`."
        )
    version, why_not_asked = newest(name, revision)
    if why_not_asked:
        known = ", ".join(version.revisions)
        say(f"{name} is taken as it is here, {f'{known}, ' if known else ''}commit {version.commit}: "
            f"{why_not_asked}.", error=True)  # fmt: skip
    return version.folder


def _local_folder(name: str) -> Path | None:
    if Path(name).is_dir():
        return Path(name)
    if (ZOOS_FOLDER / name / MANIFEST).is_file():
        return ZOOS_FOLDER / name
    return sample_folder(name)


def local_zoos(folder: Path = ZOOS_FOLDER) -> list[Path]:
    """The folders of finished zoos below a folder."""
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
