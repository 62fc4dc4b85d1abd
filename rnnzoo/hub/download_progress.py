"""How far a download is: bytes of the files that are whole, and of the one that is arriving."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rnnzoo.format.manifest import ListedFile
from rnnzoo.terminal.progress_display import ProgressDisplay

LOOK_SECONDS = 0.2


class DownloadProgress:
    """A bar for a download, in place of huggingface_hub's; use as a context manager.

    Args:
        description: what is fetched.
        arriving: the folder where files arrive.
        files: those that will.
    """

    def __init__(self, description: str, arriving: Path, files: Sequence[ListedFile]) -> None:
        self.arriving = arriving
        self.total = sum(file.size for file in files)
        self.whole = 0
        self._display = ProgressDisplay(description, transient=True)
        self._ended = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars

        self._bars_were_shown = not are_progress_bars_disabled()
        disable_progress_bars()
        self._display.bars.update(self._display.chief, unit="MB")
        if self.total:
            self._display.start()
            self._looking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from huggingface_hub.utils import enable_progress_bars

        self._ended.set()
        if self._looking.is_alive():
            self._looking.join()
        self._display.__exit__(kind, error, trace)
        if self._bars_were_shown:
            enable_progress_bars()

    def finished(self, file: ListedFile) -> None:
        """A file is whole and in its place."""
        self.whole += file.size

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            arrived = min(self.whole + _bytes_in(self.arriving), self.total)
            self._display.advance(arrived / 1e6, self.total / 1e6)


def _bytes_in(folder: Path) -> int:
    """Bytes of the files in a folder, which come and go meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
    return size
