"""Who trains a build's units: this process, worker processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.plan import BUILD_FOLDER, Unit
from rnnzoo.generation.progress import Reporter
from rnnzoo.generation.units import Session
from rnnzoo.jobs import FailedJob, Job, Work, cpu_environments, gpu_environments, run_in_processes


class Crew(Interface):
    """Trains units; what it trains never depends on who it is."""

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedJob]:
        """Train all units, returning those that failed for good."""
        ...


class ThisProcess:
    """One unit after the other, here."""

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedJob]:
        """See `Crew`."""
        for unit in units:
            session.train(unit, reporter.training)
            reporter.unit_finished(unit.stop - unit.start)
        return []


@dataclass(frozen=True)
class CPUWorkers:
    """Some processes that share this machine's cores.

    Raises:
        UsageError: fewer than one worker.
    """

    workers: int

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"--workers {self.workers} is impossible: give at least 1.")

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedJob]:
        """See `Crew`."""
        return train_in_processes(session.out, units, cpu_environments(self.workers), reporter)


class GPUWorkers:
    """One process per GPU of this machine.

    Raises:
        UsageError: fewer GPUs are visible.
    """

    def __init__(self, gpus: int) -> None:
        if gpus < 1:
            raise UsageError(f"--gpus {gpus} is impossible: give at least 1, or leave it out.")
        self.environments = gpu_environments(gpus)

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedJob]:
        """See `Crew`."""
        return train_in_processes(session.out, units, self.environments, reporter)


def train_in_processes(
    out: Path, units: Sequence[Unit], environments: Sequence[Mapping[str, str]], reporter: Reporter
) -> list[FailedJob]:
    """Train units of the build planned in a folder on one worker process per environment."""
    logs = out / BUILD_FOLDER / "logs"
    return run_in_processes(_work(out), _jobs(units), environments, logs, _UnitListener(reporter))


def _work(out: Path) -> Work:
    return Work("rnnzoo.generation.units:open_task", str(out))


def _jobs(units: Sequence[Unit]) -> list[Job]:
    return [Job(f"models {unit.start} to {unit.stop - 1}", vars(unit)) for unit in units]


class _UnitListener:
    """Tells a build's reporter what happens to units that are in work side by side."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.in_work: dict[str, tuple[int, float]] = {}

    def progress(self, job: Job, done: int, value: float) -> None:
        """`done` optimizer steps, summed over the unit's models; `value` is their mean loss."""
        self.in_work.pop(job.name, None)
        if done:
            self.in_work[job.name] = done, value
        if self.in_work:
            steps, losses = zip(*self.in_work.values(), strict=True)
            self.reporter.training(sum(steps), sum(losses) / len(losses))

    def finished(self, job: Job) -> None:
        """See `Listener`."""
        self.in_work.pop(job.name, None)
        self.reporter.unit_finished(job.payload["stop"] - job.payload["start"])

    def message(self, text: str) -> None:
        """See `Listener`."""
        self.reporter.message(text)


def report_failures(failed: Sequence[FailedJob], out: Path) -> None:
    """End a build whose units are not all there.

    Raises:
        RnnzooError: some units failed for good; names their models and logs.
    """
    if failed:
        units = "; ".join(f"{f.job.name} (log: {f.log})" for f in failed)
        raise RnnzooError(
            f"{len(failed)} unit(s) of {out} could not be trained: {units}. All others are whole. "
            "Look at the logs, then give the same command again: only what is missing is trained."
        )
