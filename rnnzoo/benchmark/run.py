"""Run a benchmark: a matrix of encoders, seeds and properties on one zoo, each run kept once it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from rnnzoo.benchmark.matrix import (
    LOCK_NAME,
    BenchmarkConfig,
    BenchmarkPlan,
    Matrix,
    check_splits,
    matrix,
    runs_of,
)
from rnnzoo.benchmark.results import RECORD_NAME, RUNS_NAME, recorded_lines
from rnnzoo.benchmark.runs import ERROR_NAME, run_folder
from rnnzoo.errors import UsageError
from rnnzoo.files.atomic import remove_partial_files, write_text
from rnnzoo.files.folder_lock import locked
from rnnzoo.format.manifest import read_manifest
from rnnzoo.hub.names import resolve
from rnnzoo.jobs.processes import Work
from rnnzoo.jobs.queue import FailedJob, Job, Listener

Execute = Callable[[Work, Sequence[Job], Path, Listener], list[FailedJob]]
"""Does jobs, with a folder for logs, and returns those that were given up."""


class BenchmarkListener(Listener, Interface):
    """What a benchmark tells as it goes, beside what its jobs tell."""

    def begin(self, jobs: Sequence[Job], steps: Sequence[int], finished_runs: int) -> None:
        """The jobs that are left, the updates each will take, and the runs that are recorded already."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a benchmark ended.

    Attributes:
        folder: the results.
        new_runs: runs recorded by this call.
        runs: runs recorded in all.
        failures: what went wrong, by run.
    """

    folder: Path
    new_runs: int
    runs: int
    failures: dict[str, str]


def run_benchmark(
    zoo: str | Path,
    folder: Path,
    config: BenchmarkConfig,
    encoders: Sequence[str],
    seeds: Sequence[int],
    execute: Execute,
    listener: BenchmarkListener,
    properties: Sequence[str] | None = None,
    supervised: bool = True,
    revision: str | None = None,
) -> Outcome:
    """Do what is missing of a matrix of runs; recorded runs are never done again.

    Args:
        zoo: a zoo's folder or name.
        folder: results; new, empty, or of an earlier call with the same zoo and configuration.
        config: how runs are done.
        encoders: names or "module:Class".
        seeds: one run per encoder and seed.
        execute: what does the jobs, see `rnnzoo.jobs.processes`.
        listener: told of the progress.
        properties: downstream properties; None for all of the zoo's kind.
        supervised: also train every encoder end to end on every property.
        revision: of a zoo on the Hub, branch, tag or commit.

    Raises:
        UsageError: an unknown name, a zoo that cannot be used, or a folder with other results or in use by another
            process.
        RnnzooError: the folder cannot be written, or workers cannot be started.
    """
    path = resolve(zoo, revision)
    manifest = read_manifest(path)
    check_splits(manifest, path)
    plan = BenchmarkPlan(str(path.resolve()), manifest.zoo, manifest.data_sha256, config)
    wanted = matrix(plan, encoders, seeds, properties, supervised)
    with locked(folder / LOCK_NAME, folder, "eval"):
        remove_partial_files(folder)
        _check_records(folder)
        plan.write(folder)
        return _run_missing(plan, wanted, folder, execute, listener)


def _run_missing(
    plan: BenchmarkPlan, wanted: Matrix, folder: Path, execute: Execute, listener: BenchmarkListener
) -> Outcome:
    before = _recorded(folder, wanted.runs())
    jobs = [job for job in wanted.jobs() if not before >= set(runs_of(job))]
    if jobs:
        steps = [_updates(job, plan.config, job.name in before) for job in jobs]
        listener.begin(jobs, steps, len(before))
        work = Work("rnnzoo.benchmark.runs:open_runs", str(folder.resolve()))
        given_up = execute(work, jobs, folder / "logs", _Recorder(folder, listener))
    else:
        given_up = []
    write_runs(folder)
    after = _recorded(folder, wanted.runs())
    failures = {failed.job.name: f"its worker died again and again; see {failed.log}" for failed in given_up}
    for name in wanted.runs():
        error = run_folder(folder, name) / ERROR_NAME
        if name not in after and error.exists():
            failures[name] = error.read_text(encoding="utf-8")
    return Outcome(folder, len(after) - len(before), len(after), failures)


def write_runs(folder: Path) -> None:
    """Write every run's record as one line of runs.jsonl, whole or not at all; without records nothing is written.

    Raises:
        RnnzooError: a record is damaged.
    """
    if lines := recorded_lines(folder):
        write_text(folder / RUNS_NAME, "".join(line.decode() + "\n" for line in lines.values()))


class _Recorder:
    """Passes progress on, and gathers the records each time a job is done."""

    def __init__(self, folder: Path, listener: Listener) -> None:
        self.folder, self.listener = folder, listener

    def progress(self, job: Job, done: int, value: float) -> None:
        """See `Listener`."""
        self.listener.progress(job, done, value)

    def finished(self, job: Job) -> None:
        """See `Listener`."""
        write_runs(self.folder)
        self.listener.finished(job)

    def message(self, text: str) -> None:
        """See `Listener`."""
        self.listener.message(text)


def _check_records(folder: Path) -> None:
    """Refuse to replace the runs of a folder that has lost, or never had, their records."""
    lines = folder / RUNS_NAME
    if lines.exists() and lines.stat().st_size and not recorded_lines(folder):
        raise UsageError(
            f"{folder} holds results without their records in runs/, which new ones would replace; they are left "
            "untouched. Choose another --out."
        )


def _recorded(folder: Path, names: Iterable[str]) -> set[str]:
    return {name for name in names if (run_folder(folder, name) / RECORD_NAME).exists()}


def _updates(job: Job, config: BenchmarkConfig, pretrained: bool) -> int:
    """Optimizer updates a job will take, for the progress bar."""
    if job.payload["kind"] == "supervised":
        return config.downstream.supervised_steps
    return 0 if pretrained else config.emulation.steps
