"""What displays of long work on the terminal have in common."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class TerminalDisplay:
    """Progress bars and messages; use as a context manager.

    The bars appear with `start`, not before there is work, so that what is refused earlier is one clear line.

    Attributes:
        bars: to add tasks to.
    """

    def __init__(self, console: Console, *columns: ProgressColumn) -> None:
        self.console = console
        self.bars = Progress(*columns, console=console)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars.live.is_started:
            self.bars.stop()

    def start(self) -> None:
        """Show the bars."""
        self.bars.start()

    def message(self, text: str) -> None:
        """A line the user should read."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
