"""Small populations of every kind of examples, for tests of the engines."""

from __future__ import annotations

import dataclasses

import numpy as np

from rnnzoo.generation.population import NO_TARGET, Population, TileExamples, TokenExamples
from rnnzoo.generation.recipes import Protocol
from rnnzoo.networks.network import Network


def token_population(
    models: int = 3,
    hidden_size: int = 16,
    layers: int = 2,
    batch_size: int = 8,
    length: int = 9,
    strings: int = 5,
    vocabulary: int = 6,
    snapshots: tuple[int, ...] = (0, 3),
    seed: int = 1,
) -> Population:
    """Models with random strings of their own; model m has between 1 and `strings` of them."""
    random = np.random.default_rng(seed)
    ids = random.permutation(1000)[:models].astype(np.uint32)
    examples = TokenExamples.of_strings(
        seed=seed,
        model_ids=ids,
        strings=random.integers(0, vocabulary, (models, strings, length)).astype(np.uint8),
        counts=random.integers(1, strings + 1, models).astype(np.int32),
        vocabulary=vocabulary,
    )
    return Population(
        seed=seed,
        model_ids=ids,
        network=Network(vocabulary, hidden_size, layers, vocabulary),
        protocol=Protocol(steps=snapshots[-1], batch_size=batch_size),
        snapshots=snapshots,
        weight_decay=np.linspace(0, 0.1, models, dtype=np.float32),
        examples=examples,
    )


def table_population(
    models: int = 3,
    hidden_size: int = 16,
    layers: int = 2,
    batch_size: int = 8,
    positions: int = 7,
    rows: int = 40,
    vocabulary: int = 5,
    outputs: int = 3,
    snapshots: tuple[int, ...] = (0, 3),
    seed: int = 1,
) -> Population:
    """Models with tables of random tokens and targets; half of the positions have none, and so has each first row."""
    random = np.random.default_rng(seed)
    ids = random.permutation(1000)[:models].astype(np.uint32)
    shape = (models, rows, positions)
    targets = np.where(random.random(shape) < 0.5, NO_TARGET, random.integers(0, outputs, shape)).astype(np.int16)
    targets[:, 0] = NO_TARGET
    examples = TokenExamples(
        seed=seed,
        model_ids=ids,
        inputs=random.integers(0, vocabulary, shape).astype(np.uint8),
        targets=targets,
        counts=random.integers((rows + 1) // 2, rows + 1, models).astype(np.int32),
        vocabulary=vocabulary,
    )
    return Population(
        seed=seed,
        model_ids=ids,
        network=Network(vocabulary, hidden_size, layers, outputs),
        protocol=Protocol(steps=snapshots[-1], batch_size=batch_size),
        snapshots=snapshots,
        weight_decay=np.linspace(0, 0.1, models, dtype=np.float32),
        examples=examples,
    )


def without_targets(population: Population, model: int) -> Population:
    """The same population, but nothing is asked of one of its token models."""
    examples = population.examples
    assert isinstance(examples, TokenExamples)
    targets = examples.targets.copy()
    targets[model] = NO_TARGET
    return dataclasses.replace(population, examples=dataclasses.replace(examples, targets=targets))


def tile_population(
    models: int = 3,
    hidden_size: int = 16,
    layers: int = 2,
    batch_size: int = 8,
    tiles: int = 6,
    tile_size: int = 5,
    outputs: int = 4,
    snapshots: tuple[int, ...] = (0, 3),
    seed: int = 1,
) -> Population:
    """Models that see 50 random images, partly background, each through a random pixel map."""
    random = np.random.default_rng(seed)
    ids = random.permutation(1000)[:models].astype(np.uint32)
    pixels = tiles * tile_size
    examples = TileExamples(
        seed=seed,
        model_ids=ids,
        images=random.integers(0, 256, (50, pixels)).astype(np.uint8),
        labels=random.integers(0, outputs, 50).astype(np.uint8),
        drawable=np.sort(random.permutation(50)[:40]).astype(np.int32),
        sources=random.integers(-1, pixels, (models, tiles, tile_size)).astype(np.int16),
        values=np.linspace(-0.4, 2.8, 256, dtype=np.float32),
    )
    return Population(
        seed=seed,
        model_ids=ids,
        network=Network(tile_size, hidden_size, layers, outputs),
        protocol=Protocol(steps=snapshots[-1], batch_size=batch_size),
        snapshots=snapshots,
        weight_decay=np.linspace(0, 0.1, models, dtype=np.float32),
        examples=examples,
    )


def some_models(population: Population, order: list[int]) -> Population:
    """The same population with only the models at these positions, in this order."""
    per_model = {"model_ids": population.model_ids[order]}
    examples = population.examples
    if isinstance(examples, TokenExamples):
        per_model |= {name: getattr(examples, name)[order] for name in ("inputs", "targets", "counts")}
    else:
        per_model |= {"sources": examples.sources[order]}
    return dataclasses.replace(
        population,
        model_ids=population.model_ids[order],
        weight_decay=population.weight_decay[order],
        examples=dataclasses.replace(examples, **per_model),
    )
