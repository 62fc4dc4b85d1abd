"""Who trains a build's units: this process, worker processes of this machine, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.plan import Unit
from rnnzoo.generation.progress import Reporter
from rnnzoo.generation.scheduler import FailedUnit, cpu_environments, gpu_environments, run_units
from rnnzoo.generation.units import Session


class Crew(Interface):
    """Trains units; what it trains never depends on who it is."""

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedUnit]:
        """Train all units, returning those that failed for good."""
        ...


class ThisProcess:
    """One unit after the other, here."""

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedUnit]:
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

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedUnit]:
        """See `Crew`."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return run_units(session.out, units, cpu_environments(self.workers, cores), reporter)


class GPUWorkers:
    """One process per GPU of this machine.

    Raises:
        UsageError: fewer GPUs are visible.
    """

    def __init__(self, gpus: int) -> None:
        if gpus < 1:
            raise UsageError(f"--gpus {gpus} is impossible: give at least 1, or leave it out.")
        self.environments = gpu_environments(gpus)

    def train(self, session: Session, units: Sequence[Unit], reporter: Reporter) -> list[FailedUnit]:
        """See `Crew`."""
        return run_units(session.out, units, self.environments, reporter)


def report_failures(failed: Sequence[FailedUnit], out: Path) -> None:
    """End a build whose units are not all there.

    Raises:
        RnnzooError: some units failed for good; names their models and logs.
    """
    if failed:
        units = "; ".join(f"models {f.unit.start} to {f.unit.stop - 1} (log: {f.log})" for f in failed)
        raise RnnzooError(
            f"{len(failed)} unit(s) of {out} could not be trained: {units}. All others are whole. "
            "Look at the logs, then give the same command again: only what is missing is trained."
        )
