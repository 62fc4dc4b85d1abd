"""A build's plan: independent ranges of models, each trained and written as one whole file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits
from rnnzoo.files.atomic import write_json
from rnnzoo.files.strict_json import read_json, reading, typed
from rnnzoo.format.manifest import MANIFEST, Manifest, read_manifest
from rnnzoo.generation.recipes import Recipe, recipe_from_dict

BUILD_FOLDER = ".build"
LOCK_NAME = f"{BUILD_FOLDER}/lock"
MODELS_PER_UNIT = 16
MODELS_PER_UNIT_ON_GPU = 256


@dataclass(frozen=True)
class Unit:
    """A range of models that are trained together: model ids start <= id < stop."""

    start: int
    stop: int

    @property
    def name(self) -> str:
        """File name of the unit, without ending."""
        return f"models-{self.start:08d}-{self.stop:08d}"

    @property
    def model_ids(self) -> range:
        """The ids of its models."""
        return range(self.start, self.stop)


@dataclass(frozen=True)
class Plan:
    """What a build folder is for; written when the build begins, the same for any number of workers."""

    recipe: Recipe
    engine: str
    source: str
    models_per_unit: int
    kept_models: int = 0
    extended_from: Mapping[str, str] | None = None

    @property
    def units(self) -> list[Unit]:
        """Every unit, in order of models; none has both models kept from an earlier zoo and new ones."""
        size, kept, models = self.models_per_unit, self.kept_models, self.recipe.models
        old = [Unit(start, min(start + size, kept)) for start in range(0, kept, size)]
        return old + [Unit(start, min(start + size, models)) for start in range(kept, models, size)]

    def write(self, out: Path) -> None:
        """Write the plan into a zoo's build folder."""
        write_json(plan_path(out), self.as_json())

    def as_json(self) -> dict[str, Any]:
        """The plan as written."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "recipe_hash": self.recipe.hash,
            "engine": self.engine,
            "source": self.source,
            "models_per_unit": self.models_per_unit,
            "kept_models": self.kept_models,
            "extended_from": self.extended_from,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """A plan as it was written.

        Raises:
            ValueError: a field is missing, unknown, of another type or out of bounds.
            UsageError: an impossible recipe.
        """
        written = typed(data, _WrittenPlan)
        recipe = recipe_from_dict(written.recipe)
        if written.recipe_hash != recipe.hash:
            raise ValueError("field recipe_hash is not the SHA-256 of the recipe")
        if written.kept_models > recipe.models:
            raise ValueError(f"field kept_models: {written.kept_models} of {recipe.models} models")
        return cls(
            recipe,
            written.engine,
            written.source,
            written.models_per_unit,
            written.kept_models,
            written.extended_from,
        )


@dataclass(frozen=True)
class _WrittenPlan:
    recipe: dict[str, Any]
    recipe_hash: str
    engine: str
    source: str
    models_per_unit: Annotated[int, Meta(ge=1, le=limits.MODELS)]
    kept_models: Annotated[int, Meta(ge=0, le=limits.MODELS)]
    extended_from: dict[str, str] | None = None


def plan_path(out: Path) -> Path:
    """Where a build folder keeps its plan."""
    return out / BUILD_FOLDER / "plan.json"


def progress_log(out: Path) -> Path:
    """Where a build folder keeps the lines of its progress, until the zoo is whole."""
    return out / BUILD_FOLDER / "logs" / "progress.log"


def unit_folder(out: Path) -> Path:
    """Where a build folder keeps its finished units."""
    return out / BUILD_FOLDER / "units"


def check_output(out: Path, recipe: Recipe) -> str | None:
    """Whether a folder may take a build of a recipe.

    Returns:
        "built" if it holds exactly this zoo, "begun" if a build of it was begun there, None if it is free.

    Raises:
        UsageError: it holds something else, which is left untouched.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder: choose another --out.")
    if (out / MANIFEST).exists():
        manifest = read_manifest(out)
        if manifest.recipe_hash == recipe.hash:
            return "built"
        raise UsageError(_conflict(out, "a zoo", manifest.recipe, recipe))
    if plan_path(out).exists():
        begun = read_plan(out).recipe
        if begun == recipe:
            return "begun"
        raise UsageError(_conflict(out, "an unfinished build", json.loads(begun.canonical_json), recipe))
    if out.is_dir() and any(entry.name != BUILD_FOLDER for entry in out.iterdir()):
        raise UsageError(
            f"{out} holds files that are no zoo; they are left untouched. Choose an empty folder with --out."
        )
    return None


def whole_manifest(out: Path) -> Manifest:
    """The manifest of a finished zoo whose files are all there at their full size.

    Raises:
        RnnzooError: one is not, or the manifest is damaged.
    """
    manifest = read_manifest(out)
    for file in manifest.listed_files:
        path = out / file.path
        size = path.stat().st_size if path.is_file() else None
        if size != file.size:
            state = "missing" if size is None else f"{size} bytes long instead of {file.size}"
            raise RnnzooError(
                f"{path} is {state}: the finished zoo in {out} is damaged. Delete {out} and give the command again."
            )
    return manifest


def read_plan(out: Path) -> Plan:
    """The plan of the build begun in a folder.

    Raises:
        RnnzooError: there is no plan, or it is damaged.
    """
    path, remedy = plan_path(out), f"delete {out} and build again"
    try:
        data = read_json(path, dict[str, Any], remedy)
    except FileNotFoundError as error:
        raise RnnzooError(f"{path} is missing: {remedy}.") from error
    with reading(path, remedy):
        return Plan.from_json(data)


def models_per_unit(engine: str) -> int:
    """Models in flight at a time: enough to fill the device, few enough to lose little when stopped."""
    return MODELS_PER_UNIT_ON_GPU if engine == "cuda" else MODELS_PER_UNIT


def _conflict(out: Path, what: str, there: Any, asked: Recipe) -> str:
    differences = ", ".join(
        f"{name}={before!r} there and {after!r} asked for" for name, before, after in _differences(there, asked)
    )
    return (
        f"{out} holds {what} of another recipe ({differences}); it is left untouched. "
        "Choose another --out, or repeat the options it was built with."
    )


def _differences(there: Any, asked: Recipe) -> list[tuple[str, Any, Any]]:
    before, after = _flat(there), _flat(json.loads(asked.canonical_json))
    return [
        (name, before.get(name), after.get(name)) for name in {**before, **after} if before.get(name) != after.get(name)
    ]


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
