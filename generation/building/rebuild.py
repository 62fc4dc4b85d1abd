"""Train one model of a zoo again from its manifest alone, and compare every column with what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.environment import device_kinds, numeric_versions, versions
from rnnzoo.errors import UsageError
from rnnzoo.format.manifest import Manifest, read_manifest
from rnnzoo.format.schema import is_imported
from rnnzoo.generation.engines import Engine, find_engine
from rnnzoo.generation.kinds import find_producer
from rnnzoo.generation.population import Population
from rnnzoo.generation.recipes import Recipe, recipe_from_dict
from rnnzoo.zoo.zoo import Zoo

RELATIVE_TOLERANCE = 1e-4
"""Between engines or devices: distance of the weights over their norm, at most."""

LAST_JUDGED_STEP = 20
"""Training is chaotic: rounding errors in the last bit grow about tenfold every ten steps, to a different network after
a hundred. Between engines or devices, later snapshots are reported and not judged."""


@dataclass(frozen=True)
class Difference:
    """How one column of one snapshot compares.

    Attributes:
        step: the snapshot.
        column: the column.
        identical: all bits are equal.
        largest: largest absolute difference, for weights over their norm; NaN where there is no number.
    """

    step: int
    column: str
    identical: bool
    largest: float


@dataclass(frozen=True)
class Rebuilt:
    """A model trained again.

    Attributes:
        engine: what trained it now, and on what device.
        departures: why its bits may differ, such as another engine; empty if they must not.
        differences: every column of every snapshot.
    """

    engine: str
    departures: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def identical(self) -> bool:
        """Whether every bit is equal."""
        return all(difference.identical for difference in self.differences)

    @property
    def agrees(self) -> bool:
        """Whether the model is the stored one: bit for bit, or within tolerance where bits may differ."""
        if self.identical or not self.departures:
            return self.identical
        judged = [d for d in self.differences if d.step <= LAST_JUDGED_STEP and d.column == "weights"]
        return all(d.identical or d.largest <= RELATIVE_TOLERANCE for d in judged) and all(
            d.identical for d in self.differences if d.column in ("model_id", "step", "task", "weight_decay")
        )


def trained_recipe(folder: Path) -> tuple[Manifest, Recipe]:
    """Manifest and recipe of a zoo that rnnzoo trained.

    Raises:
        UsageError: the folder is no zoo, or an imported one.
    """
    manifest = read_manifest(folder)
    if is_imported(manifest.recipe):
        raise UsageError(
            f"{folder} was imported from the original release: it was not trained by rnnzoo, and no recipe "
            "says how to train its models. Name a zoo that `rnnzoo build` wrote."
        )
    return manifest, recipe_from_dict(dict(manifest.recipe))


def rebuild(
    folder: Path, model: int, engine: str = "auto", source: str | None = None,
    progress: Callable[[int, float], None] = lambda done, loss: None,
) -> Rebuilt:  # fmt: skip
    """Train one model of a zoo again and compare it with what the zoo holds.

    Args:
        folder: the zoo's folder.
        model: number of the model.
        engine: what trains; "auto" takes the engine that trained the zoo if it can be used here.
        source: where its data comes from; for smnist "hub", "sample" or a folder of IDX files.
        progress: told of the steps done and the loss.

    Raises:
        UsageError: no such model, an imported zoo, or an engine or data that cannot be used.
    """
    manifest, recipe = trained_recipe(folder)
    if not 0 <= model < recipe.models:
        raise UsageError(f"{folder} has no model {model}: its models are numbered 0 to {recipe.models - 1}.")
    producer = find_producer(recipe.zoo)
    data = producer.load_data(recipe, source or producer.default_source(recipe))
    population, tasks = producer.population(recipe, [model], data)
    trainer = _engine(engine, manifest.provenance["engine"], population)
    stored = Zoo(folder, manifest).filter(model_id=model)
    differences: list[Difference] = []
    for snapshot in trainer.train(population, progress):
        rows = producer.rows(recipe, trainer, population, tasks, snapshot, data)
        differences += _compare(stored.at_step(snapshot.step), rows, snapshot.step)
    departures = tuple(departures_from(manifest.provenance, trainer.name, trainer.describe_device()))
    return Rebuilt(f"{trainer.name} on {trainer.describe_device()}", departures, tuple(differences))


def departures_from(provenance: Mapping[str, Any], engine: str, device: str) -> Iterator[str]:
    """Everything here that differs from how a zoo was made and may change bits."""
    if engine != provenance["engine"]:
        yield f"the zoo was trained by the {provenance['engine']} engine, not {engine}"
    if device_kinds(device) != device_kinds(provenance["device"]):
        yield f"the zoo was trained on {provenance['device']}, not {device}"
    recorded, here = numeric_versions(provenance["versions"]), numeric_versions(versions())
    for name in sorted({*recorded, *here}):
        if recorded.get(name) != here.get(name):
            yield f"the zoo was trained with {name} {recorded.get(name, 'absent')}, not {here.get(name, 'absent')}"


def _engine(name: str, recorded: str, population: Population) -> Engine:
    if name != "auto":
        return find_engine(name, population)[0]
    try:
        return find_engine(recorded, population)[0]
    except UsageError:
        return find_engine("auto", population)[0]


def _compare(stored: Zoo, rows: Mapping[str, NDArray[Any]], step: int) -> Iterator[Difference]:
    for column in stored.columns:
        before, after = stored[column.name], rows[column.name].astype(column.dtype)
        identical = before.tobytes() == after.tobytes()
        yield Difference(step, column.name, identical, 0.0 if identical else _distance(column.name, before, after))


def _distance(column: str, before: NDArray[Any], after: NDArray[Any]) -> float:
    difference = after.astype(np.float64) - before.astype(np.float64)
    if column == "weights":
        return float(np.linalg.norm(difference) / np.linalg.norm(before.astype(np.float64)))
    return float(np.abs(difference).max())
