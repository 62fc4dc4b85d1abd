"""How far long work is: bars on a terminal, and elsewhere, as in a log file, a line every half a minute."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rnnzoo.errors import RnnzooError
from rnnzoo.terminal.display import OutputClosed, TerminalConsole

LINE_SECONDS = 30.0


class ProgressDisplay:
    """Progress bars and messages; use as a context manager.

    The bars appear with `start`, not before there is work, so that what is refused earlier is one clear line. Where
    the console is no terminal there are no bars, but every `LINE_SECONDS` a line on the chief task.

    Args:
        description: what is done, in a word or two.
        console: where it is shown; by default standard error.
        log: a file to which the same lines are added, on a terminal as well.
        transient: the bars vanish at the end.
        clock: seconds, of any beginning.
        wait: called with seconds; waits for so long and returns False, or True as soon as the work ends.

    Attributes:
        bars: to add further tasks to, with `unit`, what is counted, and `details`, what else is worth saying.
        chief: the task of the whole work.
    """

    def __init__(
        self,
        description: str,
        console: TerminalConsole | None = None,
        log: Path | None = None,
        transient: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.console = console or TerminalConsole(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TextColumn("{task.fields[details]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=transient,
            redirect_stdout=False,
            get_time=clock,
        )
        self.chief = self.add_task(description)
        self._log = log
        self._ended = threading.Event()
        self._wait = wait or self._ended.wait
        self._lines = threading.Thread(target=self._write_lines, daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._lines.is_alive():
            self._lines.join()
        if self.bars.live.is_started:
            self.bars.stop()

    def start(self) -> None:
        """Show how far the work is from now on."""
        if self.console.is_terminal:
            self.bars.start()
        if self._log is not None:
            with suppress(OSError):
                self._log.parent.mkdir(parents=True, exist_ok=True)
                self._log.touch()
        self._lines.start()

    def add_task(self, description: str, total: float | None = None) -> TaskID:
        """A further bar."""
        return self.bars.add_task(description, total=total, unit="", details="")

    def advance(self, done: float, total: float) -> None:
        """So much of the whole work is done."""
        self.bars.update(self.chief, completed=done, total=total)

    def message(self, text: str) -> None:
        """A line the user should read; where nobody reads any more the work goes on without it."""
        with suppress(OutputClosed, RnnzooError):
            self.console.line_of_text(text)
        self._write_to_log(text)

    def line(self) -> str:
        """How far the work is, in a line of text."""
        task = next(task for task in self.bars.tasks if task.id == self.chief)
        counted = ""
        if task.total:
            share = f"({100 * task.completed / task.total:.0f} %)"
            counted = " ".join(f"{task.completed:,.0f} of {task.total:,.0f} {task.fields['unit']} {share}".split())
        parts = [task.description, counted, task.fields["details"], f"{_duration(task.elapsed or 0)} so far"]
        if task.time_remaining is not None and not task.finished:
            parts.append(f"about {_duration(task.time_remaining)} left")
        return ", ".join(part for part in parts if part)

    def _write_lines(self) -> None:
        while not self._wait(LINE_SECONDS):
            line = self.line()
            self._write_to_log(line)
            if not self.console.is_terminal:
                with suppress(OutputClosed, RnnzooError):
                    self.console.line_of_text(line)

    def _write_to_log(self, text: str) -> None:
        """Add a line to the log, if it is there: it goes with the folder it is in, when the work is done."""
        if self._log is None:
            return
        with suppress(OSError):
            descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n".encode(errors="replace"))
            finally:
                os.close(descriptor)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
