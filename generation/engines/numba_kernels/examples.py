"""Batches, drawn inside the kernel exactly as `rnnzoo.generation.population` draws them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rnnzoo.generation.engines.numba_kernels.random_words import draw_below
from rnnzoo.generation.population import NO_TARGET, Population, TileExamples, TokenExamples
from rnnzoo.generation.randomness import Purpose

_BATCH = np.uint64(Purpose.BATCH)


class ExampleArrays(NamedTuple):
    """What batches are drawn from; the arrays of the kind not in use are empty. See `TokenExamples`, `TileExamples`.

    `wanted`, int32 [M, E], is how many targets each row of tokens has.
    """

    inputs: NDArray[np.uint8]
    targets: NDArray[np.int16]
    wanted: NDArray[np.int32]
    counts: NDArray[np.int32]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    drawable: NDArray[np.int32]
    sources: NDArray[np.int16]
    values: NDArray[np.float32]


def example_arrays(population: Population) -> ExampleArrays:
    """The arrays of a population's examples, in the types the kernels are compiled for."""

    def array(value: object, dtype: type) -> NDArray:
        return np.require(value, dtype, ["C", "W"])

    examples = population.examples
    if isinstance(examples, TokenExamples):
        pixels = np.zeros((0, 0), dtype=np.uint8)
        no_bytes, no_integers = np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.int32)
        no_sources, no_values = np.zeros((0, 0, 0), dtype=np.int16), np.zeros(0, dtype=np.float32)
        wanted = np.count_nonzero(examples.targets != NO_TARGET, axis=2)
        return ExampleArrays(
            array(examples.inputs, np.uint8), array(examples.targets, np.int16),
            array(wanted, np.int32), array(examples.counts, np.int32),
            pixels, no_bytes, no_integers, no_sources, no_values,
        )  # fmt: skip
    assert isinstance(examples, TileExamples)
    return ExampleArrays(
        np.zeros((0, 0, 0), dtype=np.uint8), np.zeros((0, 0, 0), dtype=np.int16),
        np.zeros((0, 0), dtype=np.int32), np.zeros(0, dtype=np.int32),
        array(examples.images, np.uint8), array(examples.labels, np.uint8), array(examples.drawable, np.int32),
        array(examples.sources, np.int16), array(examples.values, np.float32),
    )  # fmt: skip


@njit
def draw_batch(examples, scratch, seed, model_id, model, step, batch_size):
    """Choose the rows of an update: example numbers in `row_example`, how often each was drawn in `row_weight`.

    A token model's batch becomes its distinct rows, weighted: the same loss and gradient with fewer of them.

    Returns:
        The number of rows, and how many targets the whole batch has.

    """
    drawn = scratch.drawn[:batch_size]
    if examples.counts.size == 0:
        draw_below(seed, model_id, _BATCH, np.uint64(step), examples.drawable.size, scratch.words, drawn)
        for row in range(batch_size):
            scratch.row_example[row] = examples.drawable[drawn[row]]
            scratch.row_weight[row] = 1
        return batch_size, batch_size * (examples.sources.shape[1] + 1)
    draw_below(seed, model_id, _BATCH, np.uint64(step), examples.counts[model], scratch.words, drawn)
    drawn.sort()
    rows, wanted = 0, 0
    for i in range(batch_size):
        wanted += examples.wanted[model, drawn[i]]
        if i > 0 and drawn[i] == drawn[i - 1]:
            scratch.row_weight[rows - 1] += np.float32(1)
        else:
            scratch.row_example[rows] = drawn[i]
            scratch.row_weight[rows] = 1
            rows += 1
    return rows, wanted


@njit
def gather_tokens(examples, scratch, model, first, rows):
    """Input tokens and targets, int64 [positions, rows], of some rows of the batch."""
    inputs, targets = examples.inputs[model], examples.targets[model]
    for row in range(rows):
        example = scratch.row_example[first + row]
        for position in range(inputs.shape[1]):
            scratch.tokens[position * rows + row] = inputs[example, position]
            scratch.targets[position * rows + row] = targets[example, position]


@njit
def gather_image(image, sources, values, inputs, at, stride):
    """One image as a model sees it: tiles [positions, input_size] `stride` apart, an all-zero tile in front."""
    positions, size = sources.shape
    inputs[at : at + size] = 0
    background = values[0]
    for position in range(positions):
        start = at + (position + 1) * stride
        for i in range(size):
            pixel = sources[position, i]
            inputs[start + i] = values[image[pixel]] if pixel >= 0 else background


@njit
def gather_tiles(examples, scratch, model, first, rows):
    """Inputs [positions, rows, input_size] and targets [positions, rows] of some rows of the batch."""
    sources = examples.sources[model]
    positions, size = sources.shape
    for row in range(rows):
        index = scratch.row_example[first + row]
        image = examples.images[index]
        gather_image(image, sources, examples.values, scratch.inputs, row * size, rows * size)
        for position in range(positions + 1):
            scratch.targets[position * rows + row] = examples.labels[index]
