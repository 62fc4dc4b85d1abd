"""A folder that is written to belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.write_errors import clear_write_errors


@contextmanager
def locked(lock: Path, folder: Path, work: str) -> Iterator[None]:
    """Hold a folder for this process; the lock goes with the process, however it ends.

    Args:
        lock: the file that stands for the folder; made, with its own folder, and removed at the end.
        folder: what is held.
        work: what is done there, such as "build".

    Raises:
        UsageError: another process holds it.
        RnnzooError: the lock cannot be written, or the file system has no locks.
    """
    with clear_write_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(lock, folder, work)
    try:
        with clear_write_errors(lock):
            os.truncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        # Removed while still locked: a process that has opened it in between sees that the name leads to another file.
        if _is_at(descriptor, lock):
            lock.unlink()
        os.close(descriptor)


def lock_beside(folder: Path) -> Path:
    """The lock of a folder that is replaced as a whole, and so cannot hold its own."""
    return folder.with_name(f".{folder.name}.lock")


def _acquire(lock: Path, folder: Path, work: str) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, lock):
                return descriptor
        except BlockingIOError as error:
            holder = os.read(descriptor, 300).decode(errors="replace") or "unknown"
            os.close(descriptor)
            raise UsageError(
                f"Another {work} ({holder}) is writing to {folder}. Wait for it, or choose another --out."
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise RnnzooError(
                f"{folder} cannot be held for one {work} alone ({error.strerror}): choose an --out on a file system "
                "that can lock files."
            ) from error
        # The last holder removed it between the two calls.
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
