"""`rnnzoo eval` and `rnnzoo report`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from rnnzoo.cli.assignments import assignment
from rnnzoo.cli.revision_option import revision_option
from rnnzoo.errors import UsageError


@click.command("eval")
@click.argument("zoo")
@revision_option
@click.option("--encoders", default="all", show_default=True,
              help="Names with commas between them (see docs/encoders.md), or all of rnnzoo's own and all that "
              "installed packages announce, or controls, which no encoder should lose to.")  # fmt: skip
@click.option("--encoder", "own_encoders", multiple=True, metavar="NAME|MODULE:CLASS",
              help="Add an encoder, your own for example. Without --encoders it meets only the two rails.")  # fmt: skip
@click.option("--seeds", default="3", show_default=True,
              help="How many seeds, from 0; or which ones: 10-14 or 3,5,8.")  # fmt: skip
@click.option("--profile", default="quick", show_default=True,
              help="quick (minutes), standard (a day on two cores) or paper (the paper's 100,000 steps).")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE",
              help="Change the profile: emulation.steps=500, downstream.supervised_steps=100, "
              "encoders.interactive.probes=4, ...")  # fmt: skip
@click.option("--properties", help="Downstream properties with commas between them; by default all of the zoo's kind.")
@click.option("--no-supervised", is_flag=True, help="Leave out the encoders trained end to end on every property.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Results; by default results/ZOO-PROFILE. What is there is kept and not done again.")  # fmt: skip
@click.option("--workers", type=int, help="Processes on the CPU that share the cores; by default one per core.")
@click.option("--gpus", type=int, help="Run on so many GPUs; by default all of this machine.")
@click.option("--ray", metavar="auto|ADDRESS",
              help="Run on a Ray cluster (docs/clusters.md); all nodes must share ZOO and --out.")  # fmt: skip
def eval_command(
    zoo: str,
    revision: str | None,
    encoders: str,
    own_encoders: tuple[str, ...],
    seeds: str,
    profile: str,
    assignments: tuple[str, ...],
    properties: str | None,
    no_supervised: bool,
    out: Path | None,
    workers: int | None,
    gpus: int | None,
    ray: str | None,
) -> None:
    """Compare weight encoders on ZOO: emulation, downstream properties, and a report.

    ZOO is a folder, the name of one in ./zoos, or a name on the Hub such as rnnzoo/smnist. Every finished run is a line
    of runs.jsonl in the results folder; a call that was stopped goes on where it was when it is given again, and more
    encoders or seeds join what is there.

    \b
    Examples:
      rnnzoo eval zoos/formal-languages-small
      rnnzoo eval rnnzoo/smnist --profile standard --gpus 4
      rnnzoo eval zoos/mine --encoder mypackage.module:MyEncoder --encoders flat,interactive
    """
    from rnnzoo.benchmark.evaluation import evaluate, raise_failures, results_folder
    from rnnzoo.terminal.display import say

    folder = out or results_folder(zoo, profile)
    settings = dict(assignment(text, "emulation.steps=500") for text in assignments)
    asked = properties.split(",") if properties else None
    try:
        outcome = evaluate(
            zoo,
            _encoders(encoders, own_encoders),
            seeds=_seeds(seeds),
            profile=profile,
            settings=settings,
            properties=asked,
            supervised=not no_supervised,
            out=folder,
            workers=workers,
            gpus=gpus,
            ray=ray,
            strict=False,
            revision=revision,
        )
    except KeyboardInterrupt:
        say(f"Stopped. Finished runs are kept in {folder}; give the same command again to go on.", error=True)
        raise
    if outcome.runs:
        _show(folder)
    say(f"{folder}: {outcome.runs} runs, {outcome.new_runs} of them new.")
    raise_failures(outcome)


@click.command("report")
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report_command(results: Path) -> None:
    """Write report.html and report.md from the runs in the folder RESULTS, and print the emulation table."""
    from rnnzoo.benchmark.report import write_report

    write_report(results)
    _show(results)


def _show(folder: Path) -> None:
    from rnnzoo.benchmark.report import PAGE_NAME, emulation_table
    from rnnzoo.terminal.display import TerminalConsole, say

    TerminalConsole().table(emulation_table(folder))
    say(f"Report: {folder / PAGE_NAME}")


def _encoders(named: str, own: Sequence[str]) -> list[str]:
    context = click.get_current_context()
    if own and context.get_parameter_source("encoders") is click.core.ParameterSource.DEFAULT:
        return ["constant", "labels", *own]
    return [*(name.strip() for name in named.split(",")), *own]


def _seeds(text: str) -> list[int]:
    """Seeds of "3" (0, 1, 2), "10-14" or "3,5,8"."""
    seeds: list[int] = []
    for part in text.split(",") if "," in text or "-" in text else [f"0-{int(text) - 1}" if text.isdigit() else text]:
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not found:
            raise UsageError(f"--seeds {text}: give how many (3), a range (10-14) or a list (3,5,8).")
        seeds += range(int(found[1]), int(found[2] or found[1]) + 1)
    if not seeds:
        raise UsageError(f"--seeds {text} names no seed: give at least 1, or a range such as 10-14.")
    return seeds
