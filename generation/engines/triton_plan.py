"""What is settled on the host before a population trains: its schedule, and which models share launches."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.generation.engines.triton_options import padded
from rnnzoo.generation.population import Population, TileExamples, TokenExamples


def update_schedule(population: Population) -> NDArray[np.float32]:
    """What AdamW needs to know of each update, float32 [steps, 3], computed in float64 as PyTorch does.

    Columns: learning rate; learning rate over the first moment's bias correction; square root of the second's.
    """
    protocol = population.protocol
    done = np.arange(1, protocol.steps + 1, dtype=np.float64)
    rates = np.array([protocol.learning_rate(step) for step in range(protocol.steps)], dtype=np.float64)
    beta_1, beta_2 = protocol.betas
    columns = (rates, rates / (1 - beta_1**done), np.sqrt(1 - beta_2**done))
    return np.stack(columns, axis=1).astype(np.float32).reshape(-1, 3)


def row_classes(population: Population) -> list[NDArray[np.intp]]:
    """Models by the padded number of rows in their batches, which depends on a model's own data alone.

    So a model is trained by the same kernels whichever others are trained with it.
    """
    examples = population.examples
    if isinstance(examples, TileExamples):
        return [np.arange(len(population))]
    batch = padded(population.protocol.batch_size)
    sizes = np.array([min(padded(int(count)), 2 * batch) for count in examples.counts])
    return [np.flatnonzero(sizes == size) for size in np.unique(sizes)]


def select(population: Population, models: NDArray[np.intp]) -> Population:
    """The population of some models only, by position."""
    examples = population.examples
    if isinstance(examples, TokenExamples):
        per_model: dict[str, Any] = {name: getattr(examples, name)[models] for name in ("inputs", "targets", "counts")}
    else:
        per_model = {"sources": examples.sources[models]}
    return dataclasses.replace(
        population,
        model_ids=population.model_ids[models],
        weight_decay=population.weight_decay[models],
        examples=dataclasses.replace(examples, model_ids=examples.model_ids[models], **per_model),
    )
