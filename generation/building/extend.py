"""Add models to a zoo. The result is the zoo that a build of so many models makes, file by file.

Rows of models that are there become finished units of a new build, which trains the others. Splits are decided anew
from the tasks of all models, as any build decides them, so a task may move to another split.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.atomic import sync_folder
from rnnzoo.files.folder_lock import lock_beside, locked
from rnnzoo.format.manifest import MANIFEST, Manifest, file_sha256
from rnnzoo.generation.building.build import build
from rnnzoo.generation.building.crews import Crew, ThisProcess
from rnnzoo.generation.building.plan import LOCK_NAME, Plan, Unit, check_output, models_per_unit, whole_manifest
from rnnzoo.generation.building.rebuild import departures_from, trained_recipe
from rnnzoo.generation.building.reporter import Reporter, SilentReporter
from rnnzoo.generation.building.units import finished_unit, unit_path, write_sidecar
from rnnzoo.generation.engines import find_engine
from rnnzoo.generation.kinds import find_producer
from rnnzoo.generation.recipes import Recipe
from rnnzoo.generation.shard_writer import shard_file
from rnnzoo.hub.store import version_at
from rnnzoo.zoo.zoo import Zoo


def extend(
    folder: Path,
    models: int,
    out: Path | None = None,
    reporter: Reporter | None = None,
    source: str | None = None,
    crew: Crew | None = None,
) -> Manifest:
    """Make a zoo of more models from a zoo, training only those it lacks; call again to go on after an interruption.

    Args:
        folder: the zoo's folder.
        models: how many it shall have.
        out: a new folder for the larger zoo; by default it takes the place of the smaller once it is whole.
        reporter: told of the progress.
        source: where its data comes from; for smnist "hub", "sample" or a folder of IDX files.
        crew: what trains, by default this process.

    Raises:
        UsageError: the folder is no zoo that rnnzoo trained, it has as many models, or its engine, device or versions
            are not those here, so that the models would not be those of one build.
        RnnzooError: the zoo is damaged, or anything that `build` raises.
    """
    reporter, crew = reporter or SilentReporter(), crew or ThisProcess()
    # If the folder is a link, what it leads to is replaced and the link stays.
    folder = folder.resolve()
    if out is None and version_at(folder) is not None:
        raise UsageError(f"{folder} holds a published zoo as it was fetched, which stays as it is: give an --out.")
    if out is not None:
        return _extend(folder, models, out, reporter, source, crew)
    with locked(lock_beside(folder), folder, "command"):
        return _extend(folder, models, None, reporter, source, crew)


def _extend(
    folder: Path, models: int, out: Path | None, reporter: Reporter, source: str | None, crew: Crew
) -> Manifest:
    target = folder_of_extension(folder, models, out)
    if out is None and not (folder / MANIFEST).exists() and (target / MANIFEST).exists():
        return _take_place(folder, target)
    manifest, recipe = trained_recipe(folder)
    if models == recipe.models and out is None:
        reporter.message(f"{folder} already has {models} models; nothing to do.")
        return manifest
    if models <= recipe.models:
        raise UsageError(f"{folder} has {recipe.models} models: give a larger number with --models, not {models}.")
    larger, engine = recipe.override({"models": models}), manifest.provenance["engine"]
    source = source or find_producer(recipe.zoo).default_source(recipe)
    if check_output(target, larger) != "built":
        if crew.is_here:
            _check_same_numbers(folder, manifest, recipe, source)
        plan = Plan(larger, engine, source, models_per_unit(engine), recipe.models, _origin(folder, manifest))
        with locked(target / LOCK_NAME, target, "build"):
            plan.write(target)
            _keep(Zoo(folder, manifest), plan, target, reporter)
    extended = build(larger, target, engine, reporter, source, crew)
    return extended if out else _take_place(folder, target)


def folder_of_extension(folder: Path, models: int, out: Path | None) -> Path:
    """Where the larger zoo is made."""
    return out or _beside(folder.resolve(), f"extending-to-{models}")


def _origin(folder: Path, manifest: Manifest) -> dict[str, str] | None:
    """The published zoo that a zoo is, or was extended from; None if none is known."""
    version = version_at(folder)
    published = version and {"folder": version.name, "revision": version.commit}
    return published or manifest.provenance.get("extended_from")


def _check_same_numbers(folder: Path, manifest: Manifest, recipe: Recipe, source: str) -> None:
    producer = find_producer(recipe.zoo)
    population, _ = producer.population(recipe, [0], producer.load_data(recipe, source))
    engine, _ = find_engine(manifest.provenance["engine"], population)
    for departure in departures_from(manifest.provenance, engine.name, engine.describe_device()):
        raise UsageError(
            f"{folder} cannot be extended here: {departure}, and its models would differ in rounding from the new "
            "ones. Extend it where it was built, or build all models anew with `rnnzoo build`."
        )


def _keep(zoo: Zoo, plan: Plan, target: Path, reporter: Reporter) -> None:
    """Write the rows of all models of a zoo as finished units of a plan."""
    kept = [unit for unit in plan.units if unit.stop <= plan.kept_models]
    if all(finished_unit(target, unit) for unit in kept):
        return
    reporter.phase("copying the models that are there")
    for file in zoo.manifest.files:
        if file_sha256(zoo.folder / file.path) != file.sha256:
            raise RnnzooError(
                f"{zoo.folder / file.path} is not what was built: run `rnnzoo verify {zoo.folder}`, then restore it."
            )
    order = np.lexsort((zoo["step"], zoo["model_id"]))
    nothing = dict.fromkeys(("training", "recording"), 0.0)
    for unit in kept:
        if finished_unit(target, unit) is None:
            _write_unit(zoo, order, plan.recipe, unit, unit_path(target, unit))
            recorded = zoo.manifest.provenance["seconds"] if unit.start == 0 else nothing
            seconds = {name: recorded[name] for name in nothing}
            write_sidecar(unit_path(target, unit), seconds, zoo.manifest.provenance["device"])


def _write_unit(zoo: Zoo, order: NDArray[np.integer], recipe: Recipe, unit: Unit, path: Path) -> None:
    snapshots = len(recipe.snapshots)
    rows = zoo[order[unit.start * snapshots : unit.stop * snapshots]]
    with shard_file(path, len(rows), recipe, split=None) as file:
        for name in file:
            file[name][...] = rows[name]


def _take_place(folder: Path, target: Path) -> Manifest:
    """Put the larger zoo where the smaller is; between the two renames a second call finishes the work."""
    before = _beside(folder, "before-extension")
    if folder.exists():
        shutil.rmtree(before, ignore_errors=True)
        folder.rename(before)
    target.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(before, ignore_errors=True)
    return whole_manifest(folder)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")
