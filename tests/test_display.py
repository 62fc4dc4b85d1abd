"""What reaches the terminal: names and texts of strangers as they are, whole numbers, and a quiet end."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError
from rnnzoo.generation.building.reporter import TerminalReporter
from rnnzoo.terminal.display import OutputClosed, TerminalConsole, printable, say
from rnnzoo.terminal.progress_display import LINE_SECONDS, ProgressDisplay

CLIPBOARD = "\x1b]52;c;cm0gLXJm\x07"
STEERING = "\x00\x07\x08\x0b\r\x1b\x7f\x80\x9b\x9d\u202e\u2066\u200f\u2028\udc80\U000e0041"


def shown(console: Callable[..., TerminalConsole], *objects: object, **options: object) -> str:
    file = io.StringIO()
    console(file=file).print(*objects, **options)
    return file.getvalue()


@given(st.text())
def test_nothing_steers_and_plain_text_stays(text: str) -> None:
    safe = printable(text)
    assert not set(safe) & set(STEERING)
    assert printable(safe) == safe
    safe.encode("utf-8")
    if text.isprintable():
        assert safe == text


def test_no_way_of_printing_lets_controls_or_markup_through(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"a[red]b[/x]c :smile: {STEERING}{CLIPBOARD}"
    table = Table(text, title=text)
    table.add_row(text)
    table.add_row(Text(text))
    for out in (
        shown(TerminalConsole, text, width=400),
        shown(TerminalConsole, Text(text), width=400),
        shown(TerminalConsole, table, width=400),
    ):
        assert "a[red]b[/x]c :smile:" in out
        assert not set(out) & set(STEERING)
    say(text)
    say(text, error=True)
    captured = capsys.readouterr()
    for out in captured:
        assert out == f"{printable(text)}\n"


def test_progress_shows_names_as_they_are() -> None:
    file = io.StringIO()
    console = TerminalConsole(file=file, force_terminal=True, width=300)
    with ProgressDisplay(f"a[b]{CLIPBOARD}", console) as display:
        display.start()
        display.message(f"[red]{CLIPBOARD}")
    out = file.getvalue()
    assert "a[b]\\x1b]52" in out
    assert "[red]\\x1b]52" in out
    assert "\x1b]52" not in out


@pytest.mark.parametrize("name", ["a[x]", "a[/x]b", "[bold]", f"a{CLIPBOARD}"])
def test_names_of_folders_are_shown_as_they_are(built_folder: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.parent.mkdir(exist_ok=True)
    folder.symlink_to(built_folder)
    for arguments in (["list", "--folder", str(folder.parent)], ["show", str(folder)], ["verify", str(folder)]):
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        assert "\x1b" not in done.output
        assert arguments[0] == "show" or printable(folder.name) in done.output


def test_a_damaged_zoo_does_not_end_the_list(built_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sound").symlink_to(built_folder)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    done = CliRunner().invoke(cli, ["list", "--folder", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "sound" in done.output
    assert re.search(r"^damaged: .*manifest.json is damaged", done.output, flags=re.M)


def test_clipboard_of_a_manifest_stays_untouched(copied_folder: Path) -> None:
    path = copied_folder / "manifest.json"
    data = json.loads(path.read_text())
    data["provenance"]["device"] = f"CPU{CLIPBOARD}\nforged"
    path.write_text(json.dumps(data))
    done = CliRunner().invoke(cli, ["show", str(copied_folder)])
    assert "\x1b" not in done.output
    assert "\nforged" not in done.output


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_number_is_cut(width: int) -> None:
    table = Table("name", *("long heading",) * 6)
    numbers = [f"{10**6 + index:,}" for index in range(6)]
    table.add_row("formal-languages", *numbers)
    file = io.StringIO()
    TerminalConsole(file=file, width=width).table(table)
    assert re.findall(r"\d[\d,]+", file.getvalue()) == numbers


def run(*arguments: str, stdout: int | None = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rnnzoo", *arguments],
        stdout=stdout, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip


def test_the_list_is_whole_at_sixty_columns(tmp_path: Path) -> None:
    done = run("list", "--folder", str(tmp_path), COLUMNS="60")
    assert "\u2026" not in done.stdout
    assert re.search(r"1,000\s+20,000\s+\d+\s+\d+,000", done.stdout)


def test_output_that_cannot_be_encoded_is_escaped(built_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "zo\u00f6").symlink_to(built_folder)
    done = run("list", "--folder", str(tmp_path), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "zo\\xf6" in done.stdout
    done = run("verify", str(tmp_path / "z\u00f6o"), PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "z\\xf6o" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_read_enough_ends_it_quietly(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run("list", "--folder", str(tmp_path), stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["list"], ["build", "formal-languages", "--dry-run"]])
def test_output_onto_a_full_disk_is_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = run(*arguments, stdout=full.fileno())
    assert done.returncode == 1
    assert done.stderr == "Error: The output could not be written: No space left on device.\n"


@click.command()
def out_of_memory() -> None:
    raise MemoryError


@click.command()
def surprised() -> None:
    raise KeyError(CLIPBOARD)


@pytest.mark.parametrize(("command", "told"), [(out_of_memory, "too little memory"), (surprised, "KeyError")])
def test_failures_of_all_kinds_are_told_without_controls(
    command: click.Command, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rnnzoo.cli import main as module

    monkeypatch.setattr(module, "cli", command)
    monkeypatch.setattr(sys, "argv", ["rnnzoo"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert told in error
    assert "\x1b" not in error


class Clock:
    """Time that passes only while somebody waits, here until the turns are used up."""

    def __init__(self, turns: list[Callable[[], object]]) -> None:
        self.seconds = 0.0
        self.turns: Iterator[Callable[[], object]] = iter(turns)

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> bool:
        turn = next(self.turns, None)
        if turn is None:
            return True
        self.seconds += seconds
        turn()
        return False


def test_without_a_terminal_there_is_a_line_every_half_a_minute(tmp_path: Path) -> None:
    file, log = io.StringIO(), tmp_path / "logs" / "progress.log"
    clock = Clock([lambda: display.advance(250, 1000), lambda: display.advance(500, 1000)])
    display = ProgressDisplay("importing", TerminalConsole(file=file), log=log, clock=clock.now, wait=clock.wait)
    display.start()
    display._lines.join()
    display.__exit__(None, None, None)
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("importing, 250 of 1,000 (25 %), 0:00:30 so far")
    assert lines[1].startswith("importing, 500 of 1,000 (50 %), 0:01:00 so far, about 0:0")
    assert len(lines) == 2
    assert [line.partition(" ")[2] for line in log.read_text().splitlines()] == lines
    assert LINE_SECONDS == 30


def test_a_terminal_has_bars_and_the_log_has_lines(tmp_path: Path) -> None:
    file, log = io.StringIO(), tmp_path / "progress.log"
    clock = Clock([lambda: None])
    console = TerminalConsole(file=file, force_terminal=True, width=200)
    with ProgressDisplay("importing", console, log, clock=clock.now, wait=clock.wait) as display:
        display.start()
        display._lines.join()
    assert "\u2501" in file.getvalue()
    assert "0:00:30 so far" not in file.getvalue()
    assert log.read_text().endswith("importing, 0:00:30 so far\n")


def test_a_log_that_went_with_its_folder_is_not_made_again(tmp_path: Path) -> None:
    log = tmp_path / "build" / "progress.log"
    with ProgressDisplay("building", TerminalConsole(file=io.StringIO()), log) as display:
        display.start()
        log.unlink()
        log.parent.rmdir()
        display.message("the zoo is whole")
    assert list(tmp_path.iterdir()) == []


def test_work_goes_on_when_nobody_reads(tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = TerminalConsole(file=Closed())
    with pytest.raises(OutputClosed):
        console.print("text")
    with ProgressDisplay("building", console) as display:
        display.message("text")

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(RnnzooError, match="could not be written"):
        TerminalConsole(file=Full()).print("text")


def test_a_build_tells_models_steps_and_loss() -> None:
    with TerminalReporter() as reporter:
        reporter.begin(8, 2, 100)
        reporter.training(150, 0.5)
        assert reporter.line().startswith("training, 350 of 800 model-steps (44 %), 2/8 models, loss 0.500, ")
        reporter.unit_finished(2)
        assert "4/8 models" in reporter.line()
