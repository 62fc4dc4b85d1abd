"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread happens to be, and drops it inside a destructor or a weakref
callback. Long work therefore asks here, each time it reports progress, whether an interrupt was asked for.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

_asked = threading.Event()


def watch_for_interrupts() -> None:
    """Remember each Ctrl-C besides raising KeyboardInterrupt; does nothing outside the main thread."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)


def raise_if_interrupted() -> None:
    """Raise the KeyboardInterrupt of a Ctrl-C that was dropped.

    Raises:
        KeyboardInterrupt: there was one since the last call.
    """
    if _asked.is_set():
        _asked.clear()
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
