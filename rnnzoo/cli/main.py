"""The command line. Thin: options in, library calls, tables out."""

from __future__ import annotations

import importlib
import io
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

import rnnzoo
from rnnzoo.cli.revision_option import revision_option
from rnnzoo.errors import RnnzooError
from rnnzoo.jobs.interruption import watch_for_interrupts

if TYPE_CHECKING:
    pass

_LAZY_COMMANDS = {
    "build": "rnnzoo.generation.cli.build_commands:build_command",
    "extend": "rnnzoo.generation.cli.change_commands:extend_command",
    "rebuild": "rnnzoo.generation.cli.change_commands:rebuild_command",
    "import": "rnnzoo.generation.cli.original_commands:import_command",
    "export": "rnnzoo.generation.cli.original_commands:export_command",
    "eval": "rnnzoo.cli.eval_commands:eval_command",
    "report": "rnnzoo.cli.eval_commands:report_command",
    "card": "rnnzoo.cli.card_commands:card_command",
    "list": "rnnzoo.cli.list_command:list_command",
    "pull": "rnnzoo.cli.hub_commands:pull_command",
    "remove": "rnnzoo.cli.hub_commands:remove_command",
    "push": "rnnzoo.cli.hub_commands:push_command",
}


class LazyGroup(click.Group):
    """A group of commands imported by name when asked for: consumers never import producers, and help comes at once."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Those imported when asked for first, then the rest."""
        return [*_LAZY_COMMANDS, *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of a name, imported if need be."""
        if name not in _LAZY_COMMANDS:
            return super().get_command(context, name)
        module, _, attribute = _LAZY_COMMANDS[name].partition(":")
        return getattr(importlib.import_module(module), attribute)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(rnnzoo.__version__, prog_name="rnnzoo")
def cli() -> None:
    """Model zoos of recurrent networks: build them, check them, look at them, compare weight encoders on them.

    \b
    Start with
      rnnzoo build formal-languages --scale tiny --out zoos/tiny
      rnnzoo verify zoos/tiny
      rnnzoo show zoos/tiny --plot tiny.png
      rnnzoo eval zoos/tiny --encoders statistics,interactive
    """


@cli.command("show")
@click.argument("zoo")
@revision_option
@click.option("--split", help="Only this split: train, validation or ood_test.")
@click.option("--step", type=int, help="Show the best and worst models of this snapshot step; by default the last.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write accuracy and loss over steps as a PNG."
)
def show_command(zoo: str, revision: str | None, split: str | None, step: int | None, plot: Path | None) -> None:
    """Show what is in ZOO: a folder, the name of one in ./zoos, or a name on the Hub such as rnnzoo/smnist."""
    from rnnzoo.terminal.display import TerminalConsole
    from rnnzoo.zoo.summary import cache_text, extremes_text, provenance_text, snapshot_table
    from rnnzoo.zoo.zoo import load

    rows = load(zoo, split, revision)
    last = rows.at_step(rows.snapshots[-1] if step is None else step)
    console = TerminalConsole()
    console.line_of_text(provenance_text(rows))
    console.table(snapshot_table(rows))
    console.line_of_text(extremes_text(last))
    console.line_of_text(cache_text(rows))
    if plot is not None:
        rows.kind.draw(rows, plot)
        console.line_of_text(f"Picture written to {plot}")


@cli.command("cache")
@click.option("--clear", is_flag=True, help="Delete it; what is needed again is made again.")
def cache_command(clear: bool) -> None:
    """Say where decoded traces are kept and how much they take, or delete them.

    Compressed columns are decoded once, into a folder of your own: RNNZOO_CACHE, by default ~/.cache/rnnzoo. With
    RNNZOO_CACHE=off nothing is kept, and traces are decoded each time they are read, which is slow.
    """
    from rnnzoo.format import cache
    from rnnzoo.terminal.display import say

    folder = cache.cache_folder()
    if folder is None:
        say(f"There is no cache: {cache.VARIABLE} is {cache.OFF}.")
    elif clear:
        say(f"{cache.clear() / 1e6:,.1f} MB deleted from {folder}.")
    else:
        say(f"{folder}: {cache.size_of_columns() / 1e6:,.1f} MB of decoded columns.")


@cli.command("verify")
@click.argument("zoo")
@revision_option
@click.option("--all", "every_trace", is_flag=True, help="Re-run the traces of every row, not of a sample.")
def verify_command(zoo: str, revision: str | None, every_trace: bool) -> None:
    """Check ZOO: checksums, schema, finite values, split leakage, and traces re-run from the weights.

    Exit code 0 if all is well, 1 with the file and field named if not.
    """
    from rich.text import Text

    from rnnzoo.format.verification import verify
    from rnnzoo.hub.names import resolve
    from rnnzoo.terminal.display import TerminalConsole
    from rnnzoo.terminal.progress_display import ProgressDisplay

    folder = resolve(zoo, revision)
    console = TerminalConsole()
    failures = 0
    # Bars are drawn below the lines of the same terminal; lines of progress do not belong among them.
    with ProgressDisplay("checking", console if console.is_terminal else None, transient=True) as progress:
        progress.start()
        for check in verify(folder, every_trace, progress.advance):
            mark, style = ("failed", "red") if check.problems else ("ok", "green")
            line = Text.assemble((f"{mark:>6}", style), f"  {check.name}: {check.detail}")
            console.line_of_text(line)
            for problem in check.problems[:20]:
                console.line_of_text(f"        {problem}")
            if len(check.problems) > 20:
                console.line_of_text(f"        and {len(check.problems) - 20} more")
            failures += len(check.problems)
    if failures:
        raise RnnzooError(f"{folder} is not sound: {failures} problem(s), listed above.")
    console.line_of_text(f"{folder} is sound.")


def main() -> None:
    """Run the command line; errors users can act on are printed without a traceback."""
    from rnnzoo.terminal.display import OutputClosed, abandon_output, escape_unencodable, say

    watch_for_interrupts()
    escape_unencodable()
    code, complaint = _run()
    # If the message cannot be written either, the exit code is all that is left.
    with suppress(OutputClosed, RnnzooError):
        if complaint:
            say(complaint, error=True)
    abandon_output()
    sys.exit(code)


def _run() -> tuple[int, str]:
    """The exit code of the command, and what is to be said of its failure."""
    from rnnzoo.terminal.display import OutputClosed, finish_output

    try:
        code = cli.main(standalone_mode=False)
        finish_output()
    except OutputClosed:
        return 0, ""
    except click.exceptions.Abort:
        return 130, ""
    except click.ClickException as error:
        told = io.StringIO()
        error.show(file=told)
        return error.exit_code, told.getvalue().rstrip()
    except RnnzooError as error:
        return error.exit_code, f"Error: {error}"
    except MemoryError:
        return (
            1,
            "Error: There is too little memory. Close other programs, or ask for less: fewer --workers, a smaller zoo.",
        )
    except KeyboardInterrupt:
        return 130, "Stopped."
    except Exception:
        return 1, traceback.format_exc().rstrip()
    return code if isinstance(code, int) else 0, ""
