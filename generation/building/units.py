"""Train one unit of a build and write it: the same function whichever process or machine runs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from rnnzoo.errors import RnnzooError
from rnnzoo.files import limits
from rnnzoo.files.atomic import write_json
from rnnzoo.files.strict_json import read_json
from rnnzoo.format.manifest import Sha256, file_sha256
from rnnzoo.generation.building.plan import Plan, Unit, read_plan, unit_folder
from rnnzoo.generation.engines import Engine, find_engine
from rnnzoo.generation.kinds import Producer, find_producer
from rnnzoo.generation.shard_writer import UnitSource, shard_file, write_unit_rows
from rnnzoo.jobs.processes import Task


@dataclass(frozen=True)
class Session:
    """What a process needs to train units of one build, prepared once.

    Attributes:
        out: the zoo's folder.
        plan: the build's plan.
        producer: how its kind of zoo is made.
        data: what all models share, see `Producer.load_data`.
    """

    out: Path
    plan: Plan
    producer: Producer
    data: Any

    @cached_property
    def engine(self) -> Engine:
        """What trains; made when first asked for, since who only plans and packs may lack the device.

        Raises:
            UsageError: the plan's engine cannot be used here.
        """
        return find_engine(self.plan.engine, self.producer.population(self.plan.recipe, [0], self.data)[0])[0]

    def train(self, unit: Unit, progress: Callable[[int, float], None], out: Path | None = None) -> None:
        """Train a unit's models and write their rows; the sidecar written last says that the unit is whole.

        Args:
            unit: which models.
            progress: told of the progress.
            out: another folder to write to.
        """
        recipe = self.plan.recipe
        started = time.perf_counter()
        population, tasks = self.producer.population(recipe, unit.model_ids, self.data)
        path = unit_path(out or self.out, unit)
        snapshots = len(recipe.snapshots)
        recording = 0.0
        with shard_file(path, len(population) * snapshots, recipe, split=None) as file:
            for index, snapshot in enumerate(self.engine.train(population, progress)):
                began = time.perf_counter()
                rows = self.producer.rows(recipe, self.engine, population, tasks, snapshot, self.data)
                write_unit_rows(file, rows, index, snapshots)
                recording += time.perf_counter() - began
        total = time.perf_counter() - started
        seconds = {"training": total - recording, "recording": recording}
        write_sidecar(path, seconds, self.engine.describe_device())


def open_session(out: Path, plan: Plan) -> Session:
    """The session of a plan, ready to train."""
    producer = find_producer(plan.recipe.zoo)
    session = Session(out, plan, producer, producer.load_data(plan.recipe, plan.source))
    _ = session.engine
    return session


def open_task(out: str) -> Task:
    """What trains units, given as payloads, of the build planned in a folder; see `rnnzoo.jobs.processes.Work`."""
    session = open_session(Path(out), read_plan(Path(out)))
    return lambda payload, progress: session.train(Unit(**payload), progress)


def unit_path(out: Path, unit: Unit) -> Path:
    """Where a unit's rows are written."""
    return unit_folder(out) / f"{unit.name}.h5"


@dataclass(frozen=True)
class Sidecar:
    """What is written beside a unit's file once it is whole.

    Attributes:
        size, sha256: of the file.
        seconds: that the unit took, by kind of work.
        device: what it was trained on; several devices with semicolons between them.
    """

    size: Annotated[int, Meta(ge=1, le=limits.SHARD_BYTES)]
    sha256: Sha256
    seconds: dict[Annotated[str, Meta(pattern=r"\A(training|recording)\Z")], float]
    device: str


def write_sidecar(path: Path, seconds: dict[str, float], device: str) -> None:
    """Declare a unit's file whole: its size, checksum, the seconds it took and what it was trained on."""
    write_json(path.with_suffix(".json"), vars(Sidecar(path.stat().st_size, file_sha256(path), seconds, device)))


def finished_unit(out: Path, unit: Unit) -> Sidecar | None:
    """The sidecar of a unit that is whole, else None."""
    path = unit_path(out, unit)
    try:
        sidecar = read_json(path.with_suffix(".json"), Sidecar, "delete it, and the unit is trained anew")
        return sidecar if path.stat().st_size == sidecar.size else None
    except (OSError, RnnzooError):
        return None


def checked_source(out: Path, unit: Unit) -> UnitSource:
    """A finished unit, read through once to see that it is what was written.

    Raises:
        RnnzooError: it is not; its sidecar is removed, so that the next build trains it anew.
    """
    path = unit_path(out, unit)
    sidecar = finished_unit(out, unit)
    if sidecar is None or file_sha256(path) != sidecar.sha256:
        path.with_suffix(".json").unlink(missing_ok=True)
        raise RnnzooError(
            f"{path} was altered after it was written: its SHA-256 is not the recorded one. "
            "Run the same command again; this unit alone will be trained anew."
        )
    return UnitSource(path, unit.start, unit.stop)


def history_of_units(out: Path, units: list[Unit]) -> tuple[dict[str, float], list[str]]:
    """Seconds that finished units took in all, by kind of work, and the devices they were trained on."""
    totals = {"training": 0.0, "recording": 0.0}
    devices = set()
    for unit in units:
        sidecar = finished_unit(out, unit)
        if sidecar is not None:
            devices.update(sidecar.device.split("; "))
            for name, value in sidecar.seconds.items():
                totals[name] += value
    return totals, sorted(devices)
