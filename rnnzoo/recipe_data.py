"""The recipe in a manifest as readers of a zoo rely on it: which fields it has, of which types, within which bounds.

`rnnzoo.generation.recipes` has the recipes that builds are made of, and what each field means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from rnnzoo import limits
from rnnzoo.network import Network
from rnnzoo.strict_json import typed

Offset = Annotated[int, Meta(ge=-100, le=100)]
Step = Annotated[int, Meta(ge=0, le=limits.STEPS)]
Rollouts = Annotated[int, Meta(ge=1, le=limits.ROLLOUTS)]
Positions = Annotated[int, Meta(ge=2, le=limits.SEQUENCE_LENGTH)]


@dataclass(frozen=True)
class _LanguageTasks:
    smallest_offset: Offset
    largest_offset: Offset
    largest_n: Annotated[int, Meta(ge=0, le=limits.SEQUENCE_LENGTH)]
    length: Positions
    weight_decay: float

    def __post_init__(self) -> None:
        if self.smallest_offset > self.largest_offset:
            raise ValueError(f"smallest_offset={self.smallest_offset} is above largest_offset={self.largest_offset}")


@dataclass(frozen=True)
class _DigitTasks:
    dataset: str
    images: str
    images_sha256: str
    evaluation_share: Annotated[float, Meta(ge=0, le=1)]
    weight_decays: tuple[float, ...]


@dataclass(frozen=True)
class _Rollouts:
    evaluated: Rollouts
    recorded: Rollouts


@dataclass(frozen=True)
class _Source:
    arrays: tuple[tuple[str, str], ...]
    arguments: str
    updates_ahead: Step
    restored_starts: Annotated[int, Meta(ge=0)] = 0
    losses: Annotated[str, Meta(pattern=r"\A(released|recomputed)\Z")] = "released"


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    zoo: str
    models: Annotated[int, Meta(ge=1, le=limits.MODELS)]
    seed: int
    network: Network
    protocol: Mapping[str, Any]
    snapshots: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=limits.SNAPSHOTS)]
    rollouts: _Rollouts
    split: Mapping[str, Any]
    version: int
    source: _Source | None = None

    def __post_init__(self) -> None:
        if list(self.snapshots) != sorted(set(self.snapshots)):
            raise ValueError("snapshots do not rise")


@dataclass(frozen=True, kw_only=True)
class _LanguageRecipe(_Recipe):
    tasks: _LanguageTasks


@dataclass(frozen=True, kw_only=True)
class _DigitRecipe(_Recipe):
    tasks: _DigitTasks


_KINDS: dict[str, type[_Recipe]] = {"formal-languages": _LanguageRecipe, "smnist": _DigitRecipe}


def check_recipe(recipe: Mapping[str, Any]) -> None:
    """Refuse a recipe, given as JSON data, that a reader could not rely on.

    Raises:
        ValueError: a kind of zoo this version does not know; a field that is missing, unknown, out of bounds or of
            another type.
        UsageError: an impossible network.
    """
    kind = recipe.get("zoo")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"field zoo: {kind!r} is no kind of zoo that this rnnzoo knows; a newer one may")
    typed(recipe, _KINDS[kind])
