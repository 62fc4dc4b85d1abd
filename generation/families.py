"""What the build needs to know of each kind of zoo: its population, its rows, its split criterion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from rnnzoo.errors import UsageError
from rnnzoo.generation.digits import digit_population, digit_rows, load_digits
from rnnzoo.generation.engines import Engine, Snapshot
from rnnzoo.generation.languages import language_population
from rnnzoo.generation.population import Population
from rnnzoo.generation.recipes import Recipe
from rnnzoo.generation.splits import angle, offsets_entropy
from rnnzoo.generation.traces import language_rows


@dataclass(frozen=True)
class Family:
    """One kind of zoo.

    Attributes:
        load_data: what all models share, read from the source a build names; None where there is none. It is read
            once per process and passed to the functions below.
        population: the given models ready to train, and their tasks, [M, ...].
        rows: every column of the schema for one snapshot of a population, [M, *shape].
        split_criterion: a number per task; the largest are out of distribution.
    """

    load_data: Callable[[Recipe, str], Any]
    population: Callable[[Recipe, Sequence[int], Any], tuple[Population, NDArray[Any]]]
    rows: Callable[[Recipe, Engine, Population, NDArray[Any], Snapshot, Any], dict[str, NDArray[Any]]]
    split_criterion: Callable[[NDArray[Any]], NDArray[Any]]


FAMILIES = {
    "formal-languages": Family(lambda recipe, source: None, language_population, language_rows, offsets_entropy),
    "smnist": Family(load_digits, digit_population, digit_rows, angle),
}


def family_of(recipe: Recipe) -> Family:
    """The family of a recipe's zoo.

    Raises:
        UsageError: no such kind of zoo.
    """
    if recipe.zoo not in FAMILIES:
        raise UsageError(f"There is no kind of zoo {recipe.zoo!r}: choose one of {', '.join(FAMILIES)}.")
    return FAMILIES[recipe.zoo]
