"""A build's folder belongs to one build at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnzoo.errors import UsageError
from rnnzoo.generation.plan import BUILD_FOLDER


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock goes with the process, however it ends.

    Raises:
        UsageError: another process holds it.
    """
    with open(out / BUILD_FOLDER / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise UsageError(
                f"Another build (process {holder}) is writing to {out}. Wait for it, or choose another --out."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def remove_partial_files(out: Path) -> None:
    """Delete what killed writers left half-written; only the holder of the folder may."""
    for path in out.rglob(".*.partial"):
        path.unlink(missing_ok=True)
