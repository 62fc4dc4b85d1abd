"""What the build needs to know of each kind of zoo: its population, its rows, its split criterion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from rnnzoo.errors import UsageError
from rnnzoo.generation.digits import digit_population, digit_rows, evaluated_images, load_digits, made_up_digits
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
        made_up_data: data that costs as much to train on, made without any source.
        population: the given models ready to train, and their tasks, [M, ...].
        rows: every column of the schema for one snapshot of a population, [M, *shape].
        evaluated: on how many strings or images each snapshot is evaluated.
        split_criterion: a number per task; the largest are out of distribution.
    """

    load_data: Callable[[Recipe, str], Any]
    made_up_data: Callable[[Recipe], Any]
    population: Callable[[Recipe, Sequence[int], Any], tuple[Population, NDArray[Any]]]
    rows: Callable[[Recipe, Engine, Population, NDArray[Any], Snapshot, Any], dict[str, NDArray[Any]]]
    evaluated: Callable[[Recipe, Any], int]
    split_criterion: Callable[[NDArray[Any]], NDArray[Any]]


FAMILIES = {
    "formal-languages": Family(
        load_data=lambda recipe, source: None,
        made_up_data=lambda recipe: None,
        population=language_population,
        rows=language_rows,
        evaluated=lambda recipe, data: recipe.rollouts.evaluated,
        split_criterion=offsets_entropy,
    ),
    "smnist": Family(
        load_data=load_digits,
        made_up_data=made_up_digits,
        population=digit_population,
        rows=digit_rows,
        evaluated=lambda recipe, data: sum(map(len, evaluated_images(recipe, data))),
        split_criterion=angle,
    ),
}


def family_of(recipe: Recipe) -> Family:
    """The family of a recipe's zoo.

    Raises:
        UsageError: no such kind of zoo.
    """
    if recipe.zoo not in FAMILIES:
        raise UsageError(f"There is no kind of zoo {recipe.zoo!r}: choose one of {', '.join(FAMILIES)}.")
    return FAMILIES[recipe.zoo]
