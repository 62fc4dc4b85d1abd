"""Build a zoo by the options of `rnnzoo build`, from Python or from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnzoo.errors import UsageError
from rnnzoo.format.manifest import Manifest
from rnnzoo.generation.building.build import build as build_recipe
from rnnzoo.generation.building.crews import Crew
from rnnzoo.generation.building.estimate import ask_about, estimate_build
from rnnzoo.generation.building.plan import progress_log
from rnnzoo.generation.building.reporter import SilentReporter, TerminalReporter
from rnnzoo.generation.building.units import Session
from rnnzoo.generation.cli.crew_options import find_crew
from rnnzoo.generation.cli.kind_options import source_and_fields
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.recipes import Recipe
from rnnzoo.zoo.zoo import Zoo, load

SCALES = ("tiny", "small", "paper")
FIELDS = {
    "models": "models",
    "steps": "protocol.steps",
    "snapshots": "snapshots",
    "seed": "seed",
    "hidden_size": "network.hidden_size",
    "layers": "network.layers",
    "batch_size": "protocol.batch_size",
}
"""Fields of the recipe that have an option of their own, by its name."""


@dataclass(frozen=True)
class BuildRequest:
    """A build as it was asked for.

    Attributes:
        recipe: what to build.
        folder: where to.
        engine: what trains, "auto" for the fastest.
        source: where the data of its kind comes from; None for what the kind takes unless told.
        scale: of the published recipe it departs from.
        fields: of the recipe that were replaced.
    """

    recipe: Recipe
    folder: Path
    engine: str
    source: str | None
    scale: str
    fields: Mapping[str, Any]

    def smaller(self) -> dict[str, Recipe]:
        """Recipes of smaller scales with the same fields replaced, largest first; not those that cannot have them."""
        found = {}
        for scale in reversed(SCALES[: SCALES.index(self.scale)]):
            with suppress(UsageError):
                found[scale] = find_recipe(self.recipe.zoo, scale).override(dict(self.fields))
        return found

    def carry_out(self, crew: Crew, agreed: bool, told: bool = True) -> Manifest:
        """Build, once it was said how long it will take.

        Args:
            crew: what trains.
            agreed: do not ask, however long it takes.
            told: tell the progress on standard error.
        """

        def before(session: Session, models: int) -> None:
            ask_about(estimate_build(session, crew, models, self.smaller()), reporter.message, agreed)

        with TerminalReporter(progress_log(self.folder)) if told else nullcontext(SilentReporter()) as reporter:
            return build_recipe(self.recipe, self.folder, self.engine, reporter, self.source, crew, before)


def request_build(
    zoo: str,
    scale: str,
    out: str | Path | None,
    options: Mapping[str, Any],
    fields: Mapping[str, Any],
    engine: str,
    gpus: int | None,
) -> BuildRequest:
    """What options ask for.

    Args:
        zoo: name of a published recipe.
        scale: its scale.
        out: folder to write; None for zoos/ZOO-SCALE.
        options: those named in `FIELDS`, and those of the kinds of zoos; None where one was not given.
        fields: any other fields of the recipe.
        engine: what trains.
        gpus: how many GPUs train, if any.

    Raises:
        UsageError: no such recipe, scale, option or field, or an impossible value.
    """
    recipe = find_recipe(zoo, scale)
    source, decided = source_and_fields(recipe.zoo, {name: options[name] for name in options.keys() - FIELDS.keys()})
    own = {field: options[name] for name, field in FIELDS.items() if options.get(name) is not None}
    replaced = decided | own | dict(fields)
    folder = Path(out) if out is not None else Path("zoos") / f"{recipe.zoo}-{scale}"
    if gpus is not None and engine == "auto":
        engine = "cuda"
    return BuildRequest(recipe.override(replaced), folder, engine, source, scale, replaced)


def build(
    zoo: str,
    scale: str = "paper",
    out: str | Path | None = None,
    *,
    models: int | None = None,
    steps: int | None = None,
    snapshots: Sequence[int] | None = None,
    seed: int | None = None,
    hidden_size: int | None = None,
    layers: int | None = None,
    batch_size: int | None = None,
    fields: Mapping[str, Any] | None = None,
    engine: str = "auto",
    gpus: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    units: str | None = None,
    progress: bool = True,
    **data: str,
) -> Zoo:
    """Train a zoo, write it, and open it: `rnnzoo build` from Python.

    It begins without asking; the published scale, which is the default, takes hours. A build that was stopped goes on
    where it was when it is called again, and one that is whole is opened at once.

    Args:
        zoo: a recipe, "formal-languages" or "smnist"; `rnnzoo list` shows all.
        scale: "tiny", "small" or "paper".
        out: folder to write, by default zoos/ZOO-SCALE.
        models: number of networks.
        steps: optimizer updates per network; must be a snapshot step.
        snapshots: steps to record; training ends at the last.
        seed: decides tasks, initial weights and batches.
        hidden_size: units per LSTM layer.
        layers: LSTM layers.
        batch_size: examples per update.
        fields: any other fields of the recipe, for example {"rollouts.recorded": 20}.
        engine: what trains: "auto" (the fastest here), "cuda", "numba" or "reference".
        gpus: train on so many GPUs of this machine.
        workers: train on the CPU in so many processes that share the cores.
        ray: "auto" or the address of a Ray cluster to train on.
        units: with `ray`, a URL where nodes that do not share the folder leave finished units.
        progress: tell on standard error how long it will take and how far it is.
        data: options of the kind of zoo: smnist has `mnist` ("hub", "sample" or a folder) and `dataset` ("mnist" or
            "fashion-mnist").

    Raises:
        UsageError: no such recipe, scale, option or field, an impossible value, or a folder that holds something else.
        RnnzooError: the data cannot be had, the disk is full, or models failed for good.
    """
    options = {
        "models": models,
        "steps": steps,
        "snapshots": None if snapshots is None else tuple(snapshots),
        "seed": seed,
        "hidden_size": hidden_size,
        "layers": layers,
        "batch_size": batch_size,
    }
    request = request_build(zoo, scale, out, data | options, fields or {}, engine, gpus)
    request.carry_out(find_crew(gpus, workers, ray, units), agreed=True, told=progress)
    return load(request.folder)
