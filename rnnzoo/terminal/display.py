"""The one way to the terminal: what comes from files and names of folders is shown as it is, and steers nothing."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from rnnzoo.errors import RnnzooError

# Controls but tab and line feed (escape sequences begin with one), what changes the direction of writing, other ends of
# lines, bytes of names that are no text, and invisible tags.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


class OutputClosed(Exception):
    """Whoever read the output has read enough, as `head` does."""


def printable(text: str) -> str:
    """Text in which every character that could steer a terminal is written as its escape, such as \\x1b."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class TerminalConsole(Console):
    """A console to which all text is text: no markup, no emoji names, no control characters.

    Args:
        stderr: write to standard error.
        options: of rich's console.
    """

    def __init__(self, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as rich lays it out."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is written in the end, by whatever way it came."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does.

        Raises:
            OutputClosed: nobody reads any more.
            RnnzooError: it could not be written.
        """
        with _clear_output_errors():
            super().print(*objects, **options)

    def line_of_text(self, text: str | Text) -> None:
        """Text with its own line breaks alone; see `print`."""
        self.print(text, soft_wrap=True)

    def table(self, table: Table) -> None:
        """A table in which no word or number is cut; see `print`.

        Where it does not fit, it has no lines between columns, and if need be it is wider than the terminal.
        """
        if Measurement.get(self, self.options.update(max_width=10_000), table).maximum > self.width:
            _make_narrow(table, self.width)
        self.print(table, crop=False)

    def on_broken_pipe(self) -> None:
        """Called while the error is handled; rich itself would end the process with exit code 1."""
        raise


def say(text: str, error: bool = False) -> None:
    """Write a line to standard output, or standard error.

    Raises:
        OutputClosed: nobody reads any more.
        RnnzooError: it could not be written.
    """
    with _clear_output_errors():
        print(printable(text), file=sys.stderr if error else sys.stdout, flush=True)


def escape_unencodable() -> None:
    """What standard output and standard error cannot encode is written as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def finish_output() -> None:
    """Write what is still to be written to standard output.

    Raises:
        OutputClosed: nobody reads any more.
        RnnzooError: it could not be written.
    """
    with _clear_output_errors():
        sys.stdout.flush()


def abandon_output() -> None:
    """Drop what cannot be written, of which Python would complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _make_narrow(table: Table, width: int) -> None:
    """Give each column its longest word's width, and columns one after the other what is left of a width."""
    table.box, table.padding, table.pad_edge = None, (0, 1, 0, 0), False
    texts = [[printable(str(cell)) for cell in (column.header, *column.cells)] for column in table.columns]
    widths = [max(cell_len(word) for text in cells for word in (text.split() or [""])) for cells in texts]
    left = width - sum(widths) - len(widths) + 1
    for column, cells, longest in zip(table.columns, texts, widths, strict=True):
        wished = max(cell_len(line) for text in cells for line in (text.splitlines() or [""])) - longest
        column.width = longest + max(0, min(left, wished))
        left -= column.width - longest
    table.width = sum(column.width or 0 for column in table.columns) + len(widths) - 1


@contextlib.contextmanager
def _clear_output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosed from error
    except OSError as error:
        raise RnnzooError(f"The output could not be written: {error.strerror or error}.") from error
