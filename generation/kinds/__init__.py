"""How zoos of each kind are made; `rnnzoo.kinds` says what they are.

Whoever adds a kind needs the names below.
"""

from __future__ import annotations

import importlib

from rnnzoo.errors import UsageError
from rnnzoo.generation.kinds.producer import Producer
from rnnzoo.generation.population import NO_TARGET, Population, TileExamples, TokenExamples
from rnnzoo.generation.randomness import Purpose, integers_below, random_words
from rnnzoo.generation.recipes import Protocol, Recipe, RolloutPlan, SplitRule
from rnnzoo.generation.traces import half_precision, identity_values
from rnnzoo.kinds import find_kind, kind_names

__all__ = [
    "NO_TARGET",
    "Population",
    "Producer",
    "Protocol",
    "Purpose",
    "Recipe",
    "RolloutPlan",
    "SplitRule",
    "TileExamples",
    "TokenExamples",
    "find_producer",
    "find_recipe",
    "half_precision",
    "identity_values",
    "integers_below",
    "published_recipes",
    "random_words",
]


def find_producer(kind: str) -> Producer:
    """How zoos of a kind are made.

    Raises:
        UsageError: no such kind, or one that cannot be built.
    """
    target = find_kind(kind).producer
    if not target:
        raise UsageError(
            f"There is no kind of zoo {kind!r} that can be built: choose one of {', '.join(_buildable())}."
        )
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def published_recipes() -> dict[str, dict[str, Recipe]]:
    """Every zoo that can be built, by name and scale."""
    return {name: dict(find_producer(name).recipes) for name in _buildable()}


def find_recipe(zoo: str, scale: str) -> Recipe:
    """The recipe of a zoo at a scale.

    Raises:
        UsageError: no such zoo or scale.
    """
    name = zoo.removeprefix("rnnzoo/")
    if name not in _buildable():
        raise UsageError(f"There is no recipe for a zoo named {zoo!r}: choose one of {', '.join(_buildable())}.")
    recipes = find_producer(name).recipes
    if scale not in recipes:
        raise UsageError(f"{name} has no scale {scale!r}: choose one of {', '.join(recipes)}.")
    return recipes[scale]


def _buildable() -> list[str]:
    return [name for name in kind_names() if find_kind(name).producer]
