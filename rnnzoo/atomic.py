"""Write files so that a reader finds the whole new file or none of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnnzoo.errors import RnnzooError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name to write to; on success it is synced to disk and renamed to `path`, else removed.

    Raises:
        RnnzooError: the disk is full or the folder cannot be written to.
    """
    # On a shared folder two machines may have a process of the same number.
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if problem := _describe(error, path):
            raise RnnzooError(problem) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; on success it is renamed to `path`, which must be absent or empty, else removed.

    Raises:
        RnnzooError: the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if problem := _describe(error, path):
            raise RnnzooError(problem) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def _describe(error: OSError, path: Path) -> str | None:
    # HDF5 reports a failed write as an OSError without errno and the system's message in its text.
    text = str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "quota exceeded" in text:
        return (
            f"The disk is full: {path} could not be written. Nothing half-written was left behind; "
            f"free some space on the disk of {path.parent}, then run the same command again to go on."
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"{path} cannot be written ({error.strerror}): choose a folder you may write to with --out."
    return None
