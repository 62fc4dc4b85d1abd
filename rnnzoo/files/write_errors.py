"""What the system says when a file cannot be written, in a sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnzoo.errors import RnnzooError


@contextmanager
def clear_write_errors(path: Path, remedy: str = "choose another folder with --out") -> Iterator[None]:
    """Turn what the system refuses while a file or folder is written into an error users can act on.

    Args:
        path: what is written.
        remedy: what the user can do where it cannot be written at all, without a full stop.

    Raises:
        RnnzooError: the disk is full, the folder cannot be written to, or another process filled it meanwhile.
    """
    try:
        yield
    except OSError as error:
        if problem := _describe(error, path, remedy):
            raise RnnzooError(problem) from error
        raise


def _describe(error: OSError, path: Path, remedy: str) -> str | None:
    # HDF5 reports a failed write as an OSError without errno and the system's message in its text.
    text = str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "quota exceeded" in text:
        return (
            f"The disk is full: {path} could not be written. Nothing half-written was left behind; "
            f"free some space on the disk of {path.parent}, then run the same command again to go on."
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"{path} cannot be written ({error.strerror}): {remedy}."
    if error.errno == errno.ENOTEMPTY:
        return (
            f"Another process filled {path} meanwhile; what it wrote is left untouched, and what was to come there is "
            "removed. Look at what is there, or choose another --out."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP):
        return f"{path} cannot be made ({error.strerror}): {remedy}."
    return None
