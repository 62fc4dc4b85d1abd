"""Build a zoo: plan, train unit by unit, pack into shards, describe in a manifest.

Every file is written whole or not at all, and a finished unit is never trained again, so a build can be
stopped at any moment and started again with the same command.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from rnnzoo.environment import git_revision, versions
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.atomic import remove_partial_files
from rnnzoo.files.folder_lock import locked
from rnnzoo.format.manifest import Manifest
from rnnzoo.generation.building.crews import Crew, ThisProcess, report_failures
from rnnzoo.generation.building.plan import (
    BUILD_FOLDER,
    LOCK_NAME,
    Plan,
    Unit,
    check_output,
    models_per_unit,
    read_plan,
    unit_folder,
    whole_manifest,
)
from rnnzoo.generation.building.reporter import Reporter, SilentReporter
from rnnzoo.generation.building.units import Session, checked_source, finished_unit, history_of_units
from rnnzoo.generation.engines import find_engine
from rnnzoo.generation.kinds import find_producer
from rnnzoo.generation.packing import pack_zoo
from rnnzoo.generation.recipe_command import command_of
from rnnzoo.generation.recipes import Recipe
from rnnzoo.generation.shard_writer import UnitSource, copy_from_units
from rnnzoo.zoo.cards import write_card


def build(
    recipe: Recipe,
    out: Path,
    engine: str = "auto",
    reporter: Reporter | None = None,
    source: str | None = None,
    crew: Crew | None = None,
    before: Callable[[Session, int], None] | None = None,
) -> Manifest:
    """Build a recipe's zoo into a folder, going on from what an earlier build of it left there.

    Args:
        recipe: what to build.
        out: an empty or new folder, or one that holds this very recipe.
        engine: "auto", "reference", "numba" or "cuda".
        reporter: told of the progress.
        source: where its data comes from; for smnist "hub", "sample" or a folder of IDX files. None takes what the
            kind of zoo takes unless told.
        crew: what trains the units, by default this process; see `rnnzoo.generation.building.crews`.
        before: called before anything is written, with what is built and how many models are still to be trained.

    Raises:
        UsageError: the folder holds something else, the engine cannot be used, or the data is not the recipe's.
        RnnzooError: the data cannot be had, the disk is full, another build writes to the folder, a finished
            unit was altered, or units failed for good.
    """
    reporter = reporter or SilentReporter()
    if check_output(out, recipe) == "built":
        reporter.message(f"{out} already holds this zoo; nothing to do.")
        return whole_manifest(out)
    crew = crew or ThisProcess()
    session = _plan(recipe, out, engine, reporter, source, crew)
    missing = sum(len(unit.model_ids) for unit in _missing_units(session))
    if before and missing:
        before(session, missing)
    with locked(out / LOCK_NAME, out, "build"):
        if check_output(out, recipe) != "built":
            # Another build may have begun, with another engine, and stopped before the lock was ours.
            if _begun(out, recipe) not in (None, session.plan):
                session = _plan(recipe, out, engine, reporter, source, crew)
            session.plan.write(out)
            _build_locked(session, reporter, crew)
        manifest = whole_manifest(out)
        shutil.rmtree(out / BUILD_FOLDER)
    crew.clean(session)
    return manifest


def _plan(recipe: Recipe, out: Path, engine_name: str, reporter: Reporter, source: str | None, crew: Crew) -> Session:
    """The plan of this build, new or as it was begun, and what carries it out; writes nothing."""
    producer = find_producer(recipe.zoo)
    begun = _begun(out, recipe)
    if begun and engine_name not in ("auto", begun.engine):
        raise UsageError(
            f"{out} holds an unfinished build by the {begun.engine} engine; the {engine_name} engine would mix "
            f"rounding errors of two kinds. Go on with --engine {begun.engine}, or choose another --out."
        )
    source = source or producer.default_source(recipe)
    data = producer.load_data(recipe, source)
    name = begun.engine if begun else engine_name
    if crew.is_here or name == "auto":
        engine, notice = find_engine(name, producer.population(recipe, [0], data)[0])
        name = engine.name
        if notice:
            reporter.message(notice)
        if engine.compilation_needed():
            reporter.message(f"Compiling the {name} engine for this machine; later builds find it on disk.")
    return Session(out, begun or Plan(recipe, name, source, models_per_unit(name)), producer, data)


def _begun(out: Path, recipe: Recipe) -> Plan | None:
    """The plan by which models were trained; one by which none were may be replaced, by one of another engine too."""
    return read_plan(out) if check_output(out, recipe) == "begun" and any(unit_folder(out).glob("*.json")) else None


def _build_locked(session: Session, reporter: Reporter, crew: Crew) -> None:
    started = time.perf_counter()
    recipe, out, units = session.plan.recipe, session.out, session.plan.units
    remove_partial_files(out)
    todo = _missing_units(session)
    missing = sum(unit.stop - unit.start for unit in todo)
    _check_space(out, recipe, missing)
    if missing < recipe.models:
        reporter.message(f"Going on from {recipe.models - missing} of {recipe.models} models that are already whole.")
    reporter.begin(recipe.models, recipe.models - missing, recipe.protocol.steps)
    if todo:
        report_failures(crew.train(session, todo, reporter), out)
    reporter.phase("packing")
    packing = time.perf_counter()
    sources = [checked_source(out, unit) for unit in units]
    tasks = _stored_tasks(recipe, sources)
    manifest = pack_zoo(out, recipe, tasks, session.producer.split_criterion, partial(copy_from_units, recipe, sources))
    seconds, devices = history_of_units(out, units)
    seconds["packing"] = time.perf_counter() - packing
    provenance = {
        "source": "built",
        "engine": session.plan.engine,
        "device": "; ".join(devices),
        **({"kept_models": session.plan.kept_models} if session.plan.kept_models else {}),
        **({"extended_from": session.plan.extended_from} if session.plan.extended_from else {}),
        **({"data": session.data.origin} if session.data is not None else {}),
        "versions": versions(),
        "git_revision": git_revision(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "seconds_last_run": round(time.perf_counter() - started, 3),
    }
    manifest = dataclasses.replace(manifest, provenance=provenance)
    write_card(out, manifest, out.resolve().name, command_of(manifest.recipe))
    manifest.write(out)


def _missing_units(session: Session) -> list[Unit]:
    return [unit for unit in session.plan.units if finished_unit(session.out, unit) is None]


def _stored_tasks(recipe: Recipe, sources: list[UnitSource]) -> np.ndarray:
    """The task of every model, as written, [models, ...]."""
    return np.concatenate([source.open(recipe).rows("task")[:: len(recipe.snapshots)] for source in sources])


def _check_space(out: Path, recipe: Recipe, models: int) -> None:
    """Refuse a build that cannot fit, before any work is done."""
    row_bytes = sum(column.row_bytes for column in recipe.columns)
    needed = int(1.7 * row_bytes * len(recipe.snapshots) * models)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise RnnzooError(
            f"The disk is too full: building {models} models needs about {needed / 1e9:.1f} GB in {out}, "
            f"and {free / 1e9:.1f} GB are free. Free some space, choose another --out, or build fewer --models."
        )
