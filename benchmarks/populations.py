"""Populations to measure: the two zoos' shapes, at any number of models, steps and units."""

from __future__ import annotations

import dataclasses

import numpy as np

from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.formal_languages import language_population
from rnnzoo.generation.population import Population, TileExamples, TokenExamples
from rnnzoo.generation.recipes import Protocol
from rnnzoo.networks.network import Network


def languages(
    models: int, steps: int = 20_000, hidden_size: int = 32, layers: int = 2, positions: int = 41
) -> Population:
    """formal-languages at paper scale, or with other sizes; fewer `positions` cut the strings."""
    recipe = find_recipe("formal-languages", "paper")
    population, _ = language_population(recipe, range(models))
    network = dataclasses.replace(recipe.network, hidden_size=hidden_size, layers=layers)
    protocol = dataclasses.replace(recipe.protocol, steps=steps)
    snapshots = (*(step for step in recipe.snapshots if step < steps), steps)
    examples = population.examples
    assert isinstance(examples, TokenExamples)
    cut = {name: getattr(examples, name)[:, :, :positions].copy() for name in ("inputs", "targets")}
    examples = dataclasses.replace(examples, **cut)
    return dataclasses.replace(population, network=network, protocol=protocol, snapshots=snapshots, examples=examples)


def images(models: int, steps: int = 20_000, hidden_size: int = 32, layers: int = 2, positions: int = 50) -> Population:
    """The shape of smnist on 64 images of noise: 50 positions of 16 inputs, 10 labels, batch 32."""
    generator = np.random.default_rng(0)
    ids = np.arange(models, dtype=np.uint32)
    examples = TileExamples(
        seed=0,
        model_ids=ids,
        images=generator.integers(0, 256, (64, 784)).astype(np.uint8),
        labels=generator.integers(0, 10, 64).astype(np.uint8),
        drawable=np.arange(64, dtype=np.int32),
        sources=generator.integers(-1, 784, (models, positions - 1, 16)).astype(np.int16),
        values=np.linspace(-0.4, 2.8, 256, dtype=np.float32),
    )
    network = Network(input_size=16, hidden_size=hidden_size, layers=layers, output_size=10)
    protocol = Protocol(steps=steps)
    return Population(0, ids, network, protocol, (0, steps), np.zeros(models, dtype=np.float32), examples)
