"""formal-languages as a task family: draw tasks, lay out training data, measure what a model learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnnzoo.generation.population import Population, TokenExamples
from rnnzoo.generation.randomness import Purpose, integers_below, random_words
from rnnzoo.generation.recipes import LanguageTasks, Recipe
from rnnzoo.languages import LETTERS, VOCABULARY, training_strings


def draw_tasks(recipe: Recipe, model_ids: Sequence[int]) -> NDArray[np.int8]:
    """The task of each model: int8 [M, 3], offsets (m_b, m_c, m_d) uniform in the recipe's range."""
    tasks = recipe.language_tasks
    words = random_words(recipe.seed, np.asarray(model_ids), Purpose.TASK, 0, LETTERS - 1)
    span = tasks.largest_offset - tasks.smallest_offset + 1
    return (integers_below(words, span) + tasks.smallest_offset).astype(np.int8)


def token_examples(seed: int, tasks: LanguageTasks, model_ids: Sequence[int], offsets: NDArray) -> TokenExamples:
    """The distinct training strings of each model, padded to a common number of rows."""
    rows = [training_strings(task, tasks.largest_n, tasks.length) for task in offsets]
    counts = np.array([len(r) for r in rows], dtype=np.int32)
    strings = np.zeros((len(rows), counts.max(), tasks.length), dtype=np.uint8)
    for model, r in enumerate(rows):
        strings[model, : len(r)] = r
    return TokenExamples(seed, np.asarray(model_ids, dtype=np.uint32), strings, counts, VOCABULARY)


def language_population(
    recipe: Recipe, model_ids: Sequence[int], data: None = None
) -> tuple[Population, NDArray[np.int8]]:
    """The models of a recipe with the given ids, ready to train, and their tasks [M, 3]; needs no data."""
    ids = np.asarray(model_ids, dtype=np.uint32)
    offsets = draw_tasks(recipe, model_ids)
    population = Population(
        seed=recipe.seed,
        model_ids=ids,
        network=recipe.network,
        protocol=recipe.protocol,
        snapshots=recipe.snapshots,
        weight_decay=np.full(len(ids), recipe.language_tasks.weight_decay, dtype=np.float32),
        examples=token_examples(recipe.seed, recipe.language_tasks, model_ids, offsets),
    )
    return population, offsets
