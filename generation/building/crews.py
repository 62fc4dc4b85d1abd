"""Who trains a build's units: this process, worker processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from rnnzoo.errors import RnnzooError
from rnnzoo.generation.building.plan import BUILD_FOLDER, Plan, Unit
from rnnzoo.generation.building.remote_units import remote_work
from rnnzoo.generation.building.reporter import Reporter
from rnnzoo.generation.building.unit_store import UnitStore
from rnnzoo.generation.building.units import Session
from rnnzoo.jobs.processes import Work, run_in_processes
from rnnzoo.jobs.queue import FailedJob, Job
from rnnzoo.jobs.ray_cluster import run_on_ray


class Crew(Interface):
    """Trains units; what it trains never depends on who it is.

    Attributes:
        is_here: it trains on this machine, so the engine must be usable here.
        processes: how many units it trains at a time; None where a cluster decides.
    """

    is_here: bool

    @property
    def processes(self) -> int | None:
        """See above."""
        ...

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedJob]:
        """Train all units into the session's folder, returning those that failed for good."""
        ...

    def clean(self, session: Session) -> None:
        """Remove what it left outside that folder; the zoo is whole."""
        ...


class _Here:
    """What crews of this machine have in common."""

    is_here = True

    def clean(self, session: Session) -> None:
        """Nothing lies elsewhere."""


class ThisProcess(_Here):
    """One unit after the other, here."""

    processes = 1

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedJob]:
        """See `Crew`."""
        for unit in units:
            session.train(unit, reporter.training)
            reporter.unit_finished(unit.stop - unit.start)
        return []


class WorkerProcesses(_Here):
    """Processes of this machine, one per environment; see `cpu_environments` and `gpu_environments`."""

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self.environments = environments
        self.processes = len(environments)

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedJob]:
        """See `Crew`."""
        return train_in_processes(session.out, units, self.environments, reporter)


@dataclass(frozen=True)
class RayCluster:
    """The nodes of a Ray cluster.

    Attributes:
        address: "auto", HOST:PORT or ray://HOST:PORT; see `rnnzoo.jobs.ray_cluster.run_on_ray`.
        gpus: units at a time, one GPU each.
        workers: without GPUs, units at a time, one CPU each; by default as many as there are.
        units: URL to which nodes send finished units; None where all nodes see the zoo's folder.
    """

    address: str
    gpus: int | None = None
    workers: int | None = None
    units: str | None = None
    is_here = False
    processes = None

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedJob]:
        """See `Crew`.

        Raises:
            UsageError: the cluster or the URL cannot be used, a node does not see the zoo's folder, or it has other
                versions of what decides a zoo's numbers.
        """
        out, plan, listener = session.out, session.plan, _UnitListener(reporter)
        store = self.store(plan)
        sent = [unit for unit in units if store and store.whole(unit)]
        for job in _jobs(sent):
            listener.finished(job)
        work = remote_work(out, plan, self.units)
        missing = _jobs([unit for unit in units if unit not in sent])
        logs = out / BUILD_FOLDER / "logs"
        failed = run_on_ray(work, missing, self.address, logs, listener, self.gpus, self.workers) if missing else []
        if store and not failed:
            reporter.phase("fetching units")
            for unit in units:
                store.fetch(unit, out)
        return failed

    def clean(self, session: Session) -> None:
        """Remove the units from the URL."""
        if store := self.store(session.plan):
            store.remove()

    def store(self, plan: Plan) -> UnitStore | None:
        """Where nodes send units of a plan, if not to the zoo's folder."""
        return UnitStore(self.units, plan) if self.units else None


def train_in_processes(
    out: Path, units: Sequence[Unit], environments: Sequence[Mapping[str, str]], reporter: Reporter
) -> list[FailedJob]:
    """Train units of the build planned in a folder on one worker process per environment."""
    logs = out / BUILD_FOLDER / "logs"
    return run_in_processes(_work(out), _jobs(units), environments, logs, _UnitListener(reporter))


def _work(out: Path) -> Work:
    return Work("rnnzoo.generation.building.units:open_task", str(out))


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
