"""The zoos that rnnzoo publishes: a recipe for each, at three scales."""

from __future__ import annotations

from rnnzoo.digits import CLASSES, TILE_PIXELS
from rnnzoo.errors import UsageError
from rnnzoo.generation.recipes import Protocol, Recipe, RolloutPlan, SplitRule
from rnnzoo.generation.tasks import DigitTasks, LanguageTasks
from rnnzoo.network import Network

_PAPER_SNAPSHOTS = (0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


def _formal_languages(models: int, steps: int) -> Recipe:
    return Recipe(
        zoo="formal-languages",
        models=models,
        seed=0,
        network=Network(input_size=6, hidden_size=32, layers=2, output_size=6),
        protocol=Protocol(steps=steps),
        snapshots=tuple(s for s in _PAPER_SNAPSHOTS if s <= steps),
        tasks=LanguageTasks(),
        rollouts=RolloutPlan(),
        split=SplitRule(),
    )


def _smnist(models: int, steps: int, evaluated: int) -> Recipe:
    return Recipe(
        zoo="smnist",
        models=models,
        seed=0,
        network=Network(input_size=TILE_PIXELS, hidden_size=32, layers=2, output_size=CLASSES),
        protocol=Protocol(steps=steps),
        snapshots=tuple(s for s in _PAPER_SNAPSHOTS if s <= steps),
        tasks=DigitTasks(),
        rollouts=RolloutPlan(evaluated=evaluated),
        split=SplitRule(),
    )


RECIPES: dict[str, dict[str, Recipe]] = {
    "formal-languages": {
        "tiny": _formal_languages(models=16, steps=1000),
        "small": _formal_languages(models=256, steps=2000),
        "paper": _formal_languages(models=1000, steps=20_000),
    },
    "smnist": {
        "tiny": _smnist(models=16, steps=1000, evaluated=1000),
        "small": _smnist(models=256, steps=2000, evaluated=5000),
        "paper": _smnist(models=1000, steps=20_000, evaluated=13_000),
    },
}
"""Every zoo that can be built, by name and scale."""


def find_recipe(zoo: str, scale: str) -> Recipe:
    """The recipe of a zoo at a scale.

    Raises:
        UsageError: no such zoo or scale.
    """
    name = zoo.removeprefix("rnnzoo/")
    if name not in RECIPES:
        raise UsageError(f"There is no recipe for a zoo named {zoo!r}: choose one of {', '.join(RECIPES)}.")
    if scale not in RECIPES[name]:
        raise UsageError(f"{name} has no scale {scale!r}: choose one of {', '.join(RECIPES[name])}.")
    return RECIPES[name][scale]
