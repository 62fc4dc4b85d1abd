"""Where a zoo's files may lie: in its folder, or where the Hub's cache keeps them."""

from __future__ import annotations

import os
from pathlib import Path

from rnnzoo.errors import RnnzooError


def check_place(folder: Path, path: str) -> None:
    """Refuse a file of a zoo that is a link to elsewhere, or lies behind one.

    The Hub's cache keeps the contents of files in `blobs/` and links `snapshots/REVISION/data/x.h5` to them: links of
    that one form, within one repository of the cache, are followed.

    Args:
        folder: the zoo's folder, which may itself be a link.
        path: of the file in it; the file may be missing.

    Raises:
        RnnzooError: the file lies elsewhere.
    """
    file = folder / path
    for parent in file.parents[: len(Path(path).parents) - 1]:
        if parent.is_symlink():
            raise _elsewhere(parent)
    if file.is_symlink() and not _is_of_hub_cache(folder.resolve(), path):
        raise _elsewhere(file)


def _is_of_hub_cache(folder: Path, path: str) -> bool:
    """Whether a link in a resolved folder is one of the Hub's cache to a file in its own repository's blobs."""
    repository, link = folder.parent.parent, folder / path
    target = Path(os.path.normpath(link.parent / os.readlink(link)))
    return (
        folder.parent.name == "snapshots"
        and target.parent == repository / "blobs"
        and not target.parent.is_symlink()
        and not target.is_symlink()
    )


def _elsewhere(link: Path) -> RnnzooError:
    return RnnzooError(
        f"{link} is a link to elsewhere ({os.readlink(link)!r}): a zoo's files lie in its folder. Put the file "
        "itself in its place, or fetch the zoo again."
    )
