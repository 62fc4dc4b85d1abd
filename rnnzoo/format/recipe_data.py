"""The recipe in a manifest as readers of a zoo rely on it: which fields it has, of which types, within which bounds.

`rnnzoo.generation.recipes` has the recipes that builds are made of, and what each field means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from rnnzoo.files import limits
from rnnzoo.files.strict_json import typed
from rnnzoo.kinds import find_kind
from rnnzoo.networks.network import Network

KindName = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,63}\Z")]
Step = Annotated[int, Meta(ge=0, le=limits.STEPS)]
Rollouts = Annotated[int, Meta(ge=1, le=limits.ROLLOUTS)]


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


@dataclass(frozen=True)
class _Recipe:
    zoo: KindName
    models: Annotated[int, Meta(ge=1, le=limits.MODELS)]
    seed: int
    network: Network
    protocol: Mapping[str, Any]
    snapshots: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=limits.SNAPSHOTS)]
    tasks: Mapping[str, Any]
    rollouts: _Rollouts
    split: Mapping[str, Any]
    version: int
    source: _Source | None = None

    def __post_init__(self) -> None:
        if list(self.snapshots) != sorted(set(self.snapshots)):
            raise ValueError("snapshots do not rise")


def check_recipe(recipe: Mapping[str, Any], exactly: bool = True) -> None:
    """Refuse a recipe, given as JSON data, that a reader could not rely on.

    The field `tasks` is checked where the kind of zoo is installed.

    Args:
        recipe: the recipe.
        exactly: whether fields that this version does not know are refused.

    Raises:
        ValueError: a field that is missing, unknown, out of bounds or of another type.
        RnnzooError: an impossible network or task distribution.
    """
    found = typed(recipe, _Recipe, exactly)
    typed(recipe["tasks"], find_kind(found.zoo).tasks, exactly)
