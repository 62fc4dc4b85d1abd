"""What a build needs to know of a kind of zoo: recipes, tasks, training data, rows, splits, options of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from numpy.typing import NDArray

from rnnzoo.generation.engines import Engine, Snapshot
from rnnzoo.generation.population import Population
from rnnzoo.generation.recipes import Recipe


def _no_data(recipe: Recipe, source: str = "") -> None:
    return None


def _no_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Producer:
    """How zoos of a kind are made.

    Attributes:
        recipes: published recipes by scale: "tiny", "small", "paper".
        population: the given models ready to train, and their tasks, [M, ...].
        rows: every column of the kind for one snapshot of a population, [M, *shape].
        split_criterion: a number per task; the largest are out of distribution.
        evaluated: on how many strings or images each snapshot is evaluated.
        load_data: what all models share, read from the source a build names; None where there is none. It is read
            once per process and passed to the functions above. Whatever it is has an `origin`, in words.
        made_up_data: data that costs as much to train on, made without any source.
        default_source: the source of a recipe's data where none is named.
        source_option: the command line's option that names the source, if there is one.
        recipe_options: options that decide fields of the recipe.
        recipe_fields: these fields, given all of its options by name.
        options_of: options that lead to a recipe's fields, by name; those that need not be given are left out.
        numba_speedup: times as fast as the reference engine, for each core; None if that was not measured.
    """

    recipes: Mapping[str, Recipe]
    population: Callable[[Recipe, Sequence[int], Any], tuple[Population, NDArray[Any]]]
    rows: Callable[[Recipe, Engine, Population, NDArray[Any], Snapshot, Any], dict[str, NDArray[Any]]]
    split_criterion: Callable[[NDArray[Any]], NDArray[Any]]
    evaluated: Callable[[Recipe, Any], int] = lambda recipe, data: recipe.rollouts.evaluated
    load_data: Callable[[Recipe, str], Any] = _no_data
    made_up_data: Callable[[Recipe], Any] = _no_data
    default_source: Callable[[Recipe], str] = lambda recipe: ""
    source_option: click.Option | None = None
    recipe_options: tuple[click.Option, ...] = field(default=())
    recipe_fields: Callable[[Mapping[str, Any]], dict[str, Any]] = _no_fields
    options_of: Callable[[Recipe], dict[str, str]] = lambda recipe: {}
    numba_speedup: float | None = None
