"""What test processes that run side by side do once for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of this test run have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, made by the first process that asks for it while the others wait."""
    done = folder.with_name(folder.name + ".done")
    with FileLock(folder.with_name(folder.name + ".lock")):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@contextmanager
def compiled_once(locks: Path) -> Iterator[None]:
    """Let Numba compile a kernel in one process at a time: the others find it on disk.

    Numba's index of the kernels on disk could lose one that two processes write at the same time, or mix up two.
    """
    try:
        from numba.core.dispatcher import Dispatcher
    except ImportError:
        yield
        return
    compile_at_once = Dispatcher.compile

    def compile_in_turn(self: Any, signature: Any) -> Any:
        with FileLock(locks / f"{self.py_func.__module__}.{self.py_func.__qualname__}.lock"):
            return compile_at_once(self, signature)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "compile", compile_in_turn)
        yield
