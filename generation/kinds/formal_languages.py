"""formal-languages: draw tasks, lay out training data, sample and score what models say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.generation.engines import Engine, Snapshot
from rnnzoo.generation.kinds.producer import Producer
from rnnzoo.generation.population import Population, TokenExamples
from rnnzoo.generation.randomness import Purpose, integers_below, random_words
from rnnzoo.generation.recipes import PAPER_SNAPSHOTS, Protocol, Recipe, RolloutPlan, SplitRule
from rnnzoo.generation.traces import expected_loss, half_precision, identity_values
from rnnzoo.kinds.formal_languages import LanguageTasks
from rnnzoo.kinds.languages import LETTERS, START, VOCABULARY, score_strings, training_strings
from rnnzoo.networks.network import Network


def draw_tasks(recipe: Recipe, model_ids: Sequence[int]) -> NDArray[np.int8]:
    """The task of each model: int8 [M, 3], offsets (m_b, m_c, m_d) uniform in the recipe's range."""
    tasks = recipe.tasks
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
    return TokenExamples.of_strings(seed, np.asarray(model_ids, dtype=np.uint32), strings, counts, VOCABULARY)


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
        weight_decay=np.full(len(ids), recipe.tasks.weight_decay, dtype=np.float32),
        examples=token_examples(recipe.seed, recipe.tasks, model_ids, offsets),
    )
    return population, offsets


def language_rows(
    recipe: Recipe,
    engine: Engine,
    population: Population,
    tasks: NDArray[np.int8],
    snapshot: Snapshot,
    data: None = None,
) -> dict[str, NDArray[Any]]:
    """The rows of one snapshot of a formal-languages population: every column of the schema, [M, *shape]."""
    tokens, log_probs = engine.sample_rollouts(
        population,
        snapshot,
        rollouts=recipe.rollouts.evaluated,
        recorded=recipe.rollouts.recorded,
        length=recipe.tasks.length,
        start=START,
    )
    assert isinstance(population.examples, TokenExamples)
    score = score_strings(tokens, tasks[:, None])
    return {
        **identity_values(population, snapshot),
        "task": tasks,
        "accuracy": score.in_language.mean(axis=1, dtype=np.float32),
        "accuracy_counts": score.counts_fit.mean(axis=1, dtype=np.float32),
        "finished": score.finished.mean(axis=1, dtype=np.float32),
        "train_loss": expected_loss(population.network, population.examples, snapshot.weights),
        "sequences": tokens[:, : recipe.rollouts.recorded],
        "log_probs": half_precision(log_probs),
    }


def offsets_entropy(tasks: NDArray) -> NDArray[np.float64]:
    """Entropy in nats of (0, m_b, m_c, m_d), shifted to a minimum of 1 and normalised; tasks [N, 3]."""
    offsets = np.concatenate([np.zeros((len(tasks), 1)), tasks], axis=1)
    shifted = offsets - offsets.min(axis=1, keepdims=True) + 1
    shares = shifted / shifted.sum(axis=1, keepdims=True)
    # Equal entropies must tie exactly, so that the order of the letters cannot decide between them.
    return np.round(-(shares * np.log(shares)).sum(axis=1), 12)


def _recipe(models: int, steps: int) -> Recipe:
    return Recipe(
        zoo="formal-languages",
        models=models,
        seed=0,
        network=Network(input_size=VOCABULARY, hidden_size=32, layers=2, output_size=VOCABULARY),
        protocol=Protocol(steps=steps),
        snapshots=tuple(s for s in PAPER_SNAPSHOTS if s <= steps),
        tasks=LanguageTasks(),
        rollouts=RolloutPlan(),
        split=SplitRule(),
    )


PRODUCER = Producer(
    recipes={
        "tiny": _recipe(models=16, steps=1000),
        "small": _recipe(models=256, steps=2000),
        "paper": _recipe(models=1000, steps=20_000),
    },
    population=language_population,
    rows=language_rows,
    split_criterion=offsets_entropy,
    # As benchmarks/results/engines-*.json has it.
    numba_speedup=14.1,
)
