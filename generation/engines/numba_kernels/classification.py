"""Run a classifier on images, seen as tiles through the model's own pixel map."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from rnnzoo.generation.engines.numba_kernels.examples import gather_image
from rnnzoo.generation.engines.numba_kernels.forward import derive_forward_weights
from rnnzoo.generation.engines.numba_kernels.inference import advance, reset_states, softmax_row
from rnnzoo.generation.engines.numba_kernels.sources import SOURCES

_LARGE_PRODUCT = 1e200


@njit
def _largest(logits):
    """Index of the largest value, the first of equals; 0 if all are NaN."""
    best = 0
    for output in range(1, logits.size):
        if logits[output] > logits[best]:
            best = output
    return best


@njit
def _first_visible(image, sources):
    """The first position whose tile is not all background, the last position if there is none; position 0 is zero."""
    positions, size = sources.shape
    for position in range(positions):
        for i in range(size):
            pixel = sources[position, i]
            if pixel >= 0 and image[pixel] > 0:
                return position + 1
    return positions


@njit
def _add_position(sizes, scratch, row, label, total, masses):
    """Add one row's loss at one position to two running numbers, for one label.

    The sum of logarithms is the logarithm of the product of `masses`, taken before it can overflow.

    Returns:
        The new total and product, and what `softmax_row` returns.

    """
    mass, top = softmax_row(sizes, scratch, row)
    total += np.float64(top) - np.float64(scratch.logits[row * sizes.padded_outputs + label])
    masses *= mass
    if masses > _LARGE_PRODUCT:
        total += math.log(masses)
        masses = 1.0
    return total, masses, mass, top


@njit
def _log_prob(logit, mass, top):
    return np.float64(logit) - (np.float64(top) + math.log(mass))


@njit
def _run_on_background(sizes, weights, scratch, background, count):
    """What a model makes of the zero tile and background tiles after it, which most images begin with.

    Args:
        sizes, weights, scratch: the model, packed, and this thread's working memory.
        background: input value of a background pixel.
        count: how many positions.

    Returns:
        Hidden and cell states before each position, float32 [count + 1, layers * hidden]; the running totals
        [count + 1, outputs] by label and products [count + 1] of `_add_position` before it; log-probabilities
        [count, outputs] at it.

    """
    width = sizes.layers * sizes.hidden
    hidden, cell = np.zeros((count + 1, width), dtype=np.float32), np.zeros((count + 1, width), dtype=np.float32)
    totals, masses = np.zeros((count + 1, sizes.outputs)), np.ones(count + 1)
    log_probs = np.empty((count, sizes.outputs))
    scratch.inputs[: sizes.inputs] = 0
    reset_states(sizes, scratch, 1)
    for position in range(count):
        advance(sizes, weights, scratch, 1, scratch.inputs, 0, 0)
        scratch.inputs[: sizes.inputs] = background
        hidden[position + 1], cell[position + 1] = scratch.hidden[:width], scratch.cell[:width]
        for label in range(sizes.outputs):
            totals[position + 1, label], masses[position + 1], mass, top = _add_position(
                sizes, scratch, 0, label, totals[position, label], masses[position]
            )
            log_probs[position, label] = _log_prob(scratch.logits[label], mass, top)
    return hidden, cell, totals, masses, log_probs


def _compile(sources: str) -> Callable:
    """The classification kernel, cached on disk under the digest of all sources."""

    @njit(cache=True, nogil=True)
    def classify_model(sizes, examples, weights, scratch, model, images, losses, predictions, log_probs):
        """Classify images with one model; see `Engine.classify`.

        Images that begin with background tiles go on from the state that these leave the model in, the same bits as
        if it had seen them. They run in the order of their first visible tile, so that a block starts together.

        Args:
            sizes, examples, weights, scratch: the model, packed, its data and this thread's working memory.
            model: position of the model in the population.
            images: int32 [n], image numbers.
            losses, predictions: float32 [n] and uint8 [n], filled.
            log_probs: float32 [recorded, positions, outputs], filled for the first `recorded` images.

        """
        assert sources
        derive_forward_weights(sizes, weights, scratch)
        tiles = examples.sources[model]
        starts = np.empty(images.size, dtype=np.int64)
        for index in range(images.size):
            starts[index] = _first_visible(examples.images[images[index]], tiles)
        order = np.argsort(starts)
        hidden, cell, totals, products, known = _run_on_background(
            sizes, weights, scratch, examples.values[0], starts.max()
        )
        for begin in range(0, images.size, sizes.rows):
            block = order[begin : begin + sizes.rows]
            rows, first = block.size, starts[block[0]]
            total, masses = np.empty(rows), np.full(rows, products[first])
            for row in range(rows):
                index = block[row]
                # The zero tile in front takes the place of the last one that is known already; it is not read.
                gather_image(
                    examples.images[images[index]], tiles[first - 1 :], examples.values,
                    scratch.inputs, row * sizes.inputs, rows * sizes.inputs,
                )  # fmt: skip
                for layer in range(sizes.layers):
                    at, known_at = (layer * rows + row) * sizes.hidden, layer * sizes.hidden
                    scratch.hidden[at : at + sizes.hidden] = hidden[first, known_at : known_at + sizes.hidden]
                    scratch.cell[at : at + sizes.hidden] = cell[first, known_at : known_at + sizes.hidden]
                total[row] = totals[first, examples.labels[images[index]]]
                if index < len(log_probs):
                    log_probs[index, :first] = known[:first]
            for position in range(first, sizes.positions):
                tile = (position - first + 1) * rows * sizes.inputs
                advance(sizes, weights, scratch, rows, scratch.inputs, tile, 0)
                for row in range(rows):
                    index = block[row]
                    label = examples.labels[images[index]]
                    total[row], masses[row], mass, top = _add_position(
                        sizes, scratch, row, label, total[row], masses[row]
                    )
                    logits = scratch.logits[row * sizes.padded_outputs :][: sizes.outputs]
                    if index < len(log_probs):
                        for output in range(sizes.outputs):
                            log_probs[index, position, output] = _log_prob(logits[output], mass, top)
                    if position == sizes.positions - 1:
                        predictions[index] = _largest(logits)
            for row in range(rows):
                losses[block[row]] = (total[row] + math.log(masses[row])) / sizes.positions

    return classify_model


classify_model = _compile(SOURCES)
