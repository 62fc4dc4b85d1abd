"""Write files so that a reader finds the whole new file or none of it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnnzoo.errors import RnnzooError
from rnnzoo.files.folder_lock import lock_beside, locked
from rnnzoo.files.write_errors import clear_write_errors


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A new file to write to; on success it is synced to disk and renamed to `path`, else removed.

    Of two processes that write the same path, the last to end decides what is there, whole.

    Raises:
        RnnzooError: the disk is full or the folder cannot be written to.
    """
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_name(path)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill; on success it is renamed to `path`, which must be absent or empty, else removed.

    Raises:
        UsageError: another process is writing to `path`.
        RnnzooError: the disk is full, the folder cannot be written to, or something else came to `path` meanwhile.
    """
    with clear_write_errors(path), locked(lock_beside(path), path, "command"):
        _remove_left_by_killed(path)
        temporary = _temporary_name(path)
        temporary.mkdir()
        # Kept open, so that its inode number is not given to another folder.
        made = os.open(temporary, os.O_RDONLY)
        try:
            yield temporary
            os.replace(temporary, path)
            if not os.path.samestat(os.fstat(made), path.stat()):
                raise RnnzooError(f"{path} was replaced by another process: look at what is there, and start again.")
            sync_folder(path.parent)
        finally:
            os.close(made)
            shutil.rmtree(temporary, ignore_errors=True)


def remove_partial_files(folder: Path) -> None:
    """Delete what killed writers left half-written below a folder; only its holder may (`rnnzoo.files.folder_lock`)."""
    for path in folder.rglob(".*.partial"):
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON whole or not at all."""
    write_text(path, json.dumps(data, indent=2) + "\n")


def _temporary_name(path: Path) -> Path:
    """A name beside a path that no process has: neither numbers of processes nor names of machines need differ."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")


def _remove_left_by_killed(path: Path) -> None:
    """Delete the temporary folders of a path; while it is held, all of them are left by processes that were killed."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.partial")
    for entry in path.parent.iterdir():
        if name.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
