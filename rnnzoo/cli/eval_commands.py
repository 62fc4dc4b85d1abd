"""`rnnzoo eval` and `rnnzoo report`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnzoo.cli.assignments import assignment
from rnnzoo.environment import usable_cores
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.gpus import gpus_of_driver
from rnnzoo.jobs.processes import Work, check_exclusive, cpu_environments, gpu_environments, run_in_processes
from rnnzoo.jobs.queue import FailedJob, Job, Listener
from rnnzoo.jobs.ray_cluster import check_ray

if TYPE_CHECKING:
    from rnnzoo.benchmark.run import Execute, Outcome

MOST_DEFAULT_WORKERS = 8


@click.command("eval")
@click.argument("zoo")
@click.option("--encoders", default="all", show_default=True,
              help="Names with commas between them (see docs/encoders.md), or all of rnnzoo's own and all that "
              "installed packages announce.")  # fmt: skip
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
    execute = _executor(workers, gpus, ray)
    from rnnzoo.benchmark.matrix import BenchmarkConfig
    from rnnzoo.benchmark.progress import EvaluationProgress
    from rnnzoo.benchmark.run import run_benchmark
    from rnnzoo.terminal.display import say

    config = BenchmarkConfig.of_profile(profile, dict(assignment(text, "emulation.steps=500") for text in assignments))
    chosen = _encoders(encoders, own_encoders)
    folder = out or Path("results") / f"{Path(zoo).name}-{profile}"
    asked = properties.split(",") if properties else None
    try:
        with EvaluationProgress(folder / "logs" / "progress.log") as progress:
            outcome = run_benchmark(
                zoo,
                folder,
                config,
                chosen,
                _seeds(seeds),
                execute,
                progress,
                asked,
                not no_supervised,
            )
    except KeyboardInterrupt:
        say(f"Stopped. Finished runs are kept in {folder}; give the same command again to go on.", error=True)
        raise
    if outcome.runs:
        _report(folder)
    say(f"{folder}: {outcome.runs} runs, {outcome.new_runs} of them new.")
    _raise_failures(outcome)


@click.command("report")
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report_command(results: Path) -> None:
    """Write report.html and report.md from the runs in the folder RESULTS, and print the emulation table."""
    _report(results)


def _report(folder: Path) -> None:
    from rnnzoo.benchmark.report import emulation_table, write_report
    from rnnzoo.terminal.display import TerminalConsole, say

    page = write_report(folder)
    TerminalConsole().table(emulation_table(folder))
    say(f"Report: {page}")


def _raise_failures(outcome: Outcome) -> None:
    if outcome.failures:
        name, reason = next(iter(outcome.failures.items()))
        others = f" {len(outcome.failures) - 1} more failed." if len(outcome.failures) > 1 else ""
        raise RnnzooError(
            f"{len(outcome.failures)} job(s) failed; all finished runs are kept. {name}: {reason.strip()}{others} "
            f"Reasons lie beside the runs in {outcome.folder / 'runs'} as error.txt; the same command tries them again."
        )


def _encoders(named: str, own: Sequence[str]) -> list[str]:
    from rnnzoo.encoders import encoder_names

    context = click.get_current_context()
    if own and context.get_parameter_source("encoders") is click.core.ParameterSource.DEFAULT:
        return ["constant", "truth", *own]
    return [*(encoder_names() if named == "all" else [name.strip() for name in named.split(",")]), *own]


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


def _executor(workers: int | None, gpus: int | None, ray: str | None) -> Execute:
    """What does the jobs: a Ray cluster if one is named, else GPUs if there are any, else processes on the CPU."""
    check_exclusive(gpus, workers)
    if ray is not None:
        check_ray()
        return partial(_on_ray, address=ray, gpus=gpus, workers=workers)
    if gpus is None and workers is None and gpus_of_driver():
        import torch

        gpus = torch.cuda.device_count() or None
    if gpus is not None:
        return partial(_in_processes, environments=gpu_environments(gpus))
    count = min(usable_cores(), MOST_DEFAULT_WORKERS) if workers is None else workers
    return partial(_in_processes, environments=cpu_environments(count))


def _in_processes(
    work: Work, jobs: Sequence[Job], log_folder: Path, listener: Listener, environments: Sequence[Mapping[str, str]]
) -> list[FailedJob]:
    return run_in_processes(work, jobs, environments, log_folder, listener)


def _on_ray(
    work: Work,
    jobs: Sequence[Job],
    log_folder: Path,
    listener: Listener,
    address: str,
    gpus: int | None,
    workers: int | None,
) -> list[FailedJob]:
    from rnnzoo.jobs.ray_cluster import run_on_ray

    return run_on_ray(work, jobs, address, log_folder, listener, gpus, workers)
