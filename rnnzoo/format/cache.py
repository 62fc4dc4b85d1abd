"""A folder of this user's own: decoded columns of shards, and which files were checked before.

Whatever lies there can be deleted at any moment; it is made again when needed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from rnnzoo.errors import RnnzooError
from rnnzoo.files.atomic import write_text

VARIABLE = "RNNZOO_CACHE"
OFF = "off"
SETTLED_NANOSECONDS = 1_000_000_000
"""A file changed less than this ago may change again without a new time stamp, so it is not remembered yet."""


def cache_folder() -> Path | None:
    """Where the cache is: `RNNZOO_CACHE`, by default rnnzoo in the user's cache folder; None if it is "off"."""
    return None if os.environ.get(VARIABLE) == OFF else folder_named_by(VARIABLE)


def folder_named_by(variable: str, default: str = "") -> Path:
    """A folder that an environment variable names, by default one within rnnzoo's in the user's cache folder."""
    if named := os.environ.get(variable):
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rnnzoo" / default


def column_path(sha256: str, name: str) -> Path | None:
    """Where a column of the shard of a checksum is kept decoded: the bytes of its rows, and no header.

    A header would have to be parsed, as that of a .npy file is by Python's own compiler; a process that was forked
    while another thread parses one cannot parse any more.
    """
    folder = cache_folder()
    return folder and folder / "columns" / sha256 / f"{name}.rows"


def recall(status: os.stat_result) -> Any:
    """What `remember` wrote of a file that has not changed since, or None."""
    path = _record_path(status)
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None


def remember(status: os.stat_result, record: Any) -> None:
    """Keep JSON data about a file until it changes; without a cache, or room in it, nothing is kept.

    Args:
        status: of the file, taken before it was looked at.
        record: what was found.
    """
    path = _record_path(status)
    settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) >= SETTLED_NANOSECONDS
    if path is None or not settled:
        return
    try:
        write_text(path, json.dumps(record))
    except (OSError, RnnzooError):
        return


def size_of_columns(checksums: list[str] | None = None) -> int:
    """Bytes of the decoded columns, of the shards with these checksums or of all."""
    folder = cache_folder()
    if folder is None:
        return 0
    shards = (folder / "columns").glob("*") if checksums is None else (folder / "columns" / sha for sha in checksums)
    return sum(file.stat().st_size for shard in shards for file in shard.glob("*.rows"))


def forget(checksums: list[str]) -> int:
    """Delete the decoded columns of the shards with these checksums; returns the bytes that were in them."""
    folder, size = cache_folder(), size_of_columns(checksums)
    if folder is not None:
        for sha256 in checksums:
            shutil.rmtree(folder / "columns" / sha256, ignore_errors=True)
    return size


def clear() -> int:
    """Delete the cache; returns the bytes that were in it.

    Raises:
        RnnzooError: something in it cannot be deleted.
    """
    folder = cache_folder()
    if folder is None or not folder.is_dir():
        return 0
    size = size_of_columns()
    try:
        for part in ("columns", "checked"):
            if (folder / part).is_dir():
                shutil.rmtree(folder / part)
    except OSError as error:
        raise RnnzooError(f"{folder} cannot be deleted ({error}): delete it by hand.") from error
    return size


def _record_path(status: os.stat_result) -> Path | None:
    folder = cache_folder()
    name = f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}.json"
    return folder and folder / "checked" / name
