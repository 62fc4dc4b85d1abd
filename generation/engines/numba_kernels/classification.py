"""Run a classifier on images, seen as tiles through the model's own pixel map."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.rows import copy_row
from rnnzoo.compiled.vector_kernels.vectors import address
from rnnzoo.generation.engines.numba_kernels.forward import derive_forward_weights
from rnnzoo.generation.engines.numba_kernels.gate_blocks import BLOCK_ROWS, blocks_of
from rnnzoo.generation.engines.numba_kernels.inference import (
    advance,
    new_starts,
    normalisation_room,
    normalise_rows,
    outputs_at,
    reset_states,
    write_log_probs,
)
from rnnzoo.generation.engines.numba_kernels.layout import layer_start
from rnnzoo.generation.engines.numba_kernels.sources import SOURCES
from rnnzoo.generation.engines.numba_kernels.visible_tiles import first_visible, list_visible, visible_inputs

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
def _add_loss(total, product, mass, top, logit):
    """Add the loss top + log(mass) - logit of one row at one position to two running numbers.

    The sum of logarithms is the logarithm of the product of masses, taken before it can overflow.
    """
    total += np.float64(top) - np.float64(logit)
    product *= mass
    if product > _LARGE_PRODUCT:
        total += math.log(product)
        product = 1.0
    return total, product


@njit
def _add_losses(logits, width, labels, totals, products, masses, tops):
    """Add the losses of all rows at one position to their totals and products."""
    for row in range(labels.size):
        totals[row], products[row] = _add_loss(
            totals[row], products[row], masses[row], tops[row], logits[row * width + labels[row]]
        )


@njit
def _copy_states(sizes, scratch, rows, row, turn, hidden, cell):
    """Let a row go on from states [layers * hidden] after a turn."""
    for layer in range(sizes.layers):
        own, known = row * sizes.hidden, layer * sizes.hidden
        copy_row(hidden, known, scratch.hidden, outputs_at(sizes, rows, layer, turn) + own, sizes.hidden)
        copy_row(cell, known, scratch.cell, layer * rows * sizes.hidden + own, sizes.hidden)


@njit
def _first_layer_starts(sizes, weights, scratch, background):
    """What the first layer makes of the zero tile and of a background tile, biases included: float32 [2 * 4 hidden]."""
    width = 4 * sizes.hidden
    starts = np.empty(2 * width, dtype=np.float32)
    for tile in range(2):
        copy_row(scratch.bias, 0, starts, tile * width, width)
        scratch.inputs[: sizes.inputs] = tile * background
        multiply_accumulate(
            1, width, sizes.inputs,
            address(starts, tile * width), width,
            address(scratch.inputs, 0), sizes.inputs, 1,
            address(weights, layer_start(sizes, 0)), width, True,
        )  # fmt: skip
    return starts


@njit
def _run_on_background(sizes, weights, scratch, starts, count):
    """What a model makes of the zero tile and background tiles after it, which most images begin with.

    Args:
        sizes, weights, scratch: the model, packed, and this thread's working memory.
        starts: `Starts` of the zero tile; left as those of background tiles.
        count: how many positions.

    Returns:
        Hidden and cell states before each position, float32 [count + 1, layers * hidden]; the running totals
        [count + 1, outputs] by label and products [count + 1] of `_add_loss` before it; log-probabilities
        [count, outputs] at it.

    """
    width = sizes.layers * sizes.hidden
    hidden, cell = np.zeros((count + 1, width), dtype=np.float32), np.zeros((count + 1, width), dtype=np.float32)
    totals, products = np.zeros((count + 1, sizes.outputs)), np.ones(count + 1)
    log_probs = np.empty((count, sizes.outputs), dtype=np.float32)
    nothing = visible_inputs(1, 1, 0)
    columns, masses, tops = normalisation_room(sizes)
    reset_states(sizes, scratch, 1)
    for position in range(count):
        advance(sizes, weights, scratch, 1, position, starts, nothing, 0)
        starts.rows[:] = 4 * sizes.hidden
        at = outputs_at(sizes, 1, 0, position)
        hidden[position + 1], cell[position + 1] = scratch.hidden[at : at + width], scratch.cell[:width]
        normalise_rows(scratch.logits, 1, sizes.outputs, sizes.padded_outputs, columns, masses, tops)
        for label in range(sizes.outputs):
            totals[position + 1, label], products[position + 1] = _add_loss(
                totals[position, label], products[position], masses[0], tops[0], scratch.logits[label]
            )
        write_log_probs(scratch.logits, 0, masses[0], tops[0], log_probs[position])
    return hidden, cell, totals, products, log_probs


def _compile(sources: str) -> Callable:
    """The classification kernel, cached on disk under the digest of all sources."""

    @njit(cache=True, nogil=True)
    def classify_model(sizes, examples, weights, scratch, model, images, losses, predictions, log_probs):
        """Classify images with one model; see `Engine.classify`.

        Images that begin with background tiles go on from the state that these leave the model in, the same bits as
        if it had seen them. They run in the order of their first visible tile, so that a block starts together.

        Args:
            sizes, examples, weights, scratch: the model, packed, its data and this thread's working memory; the most
                rows are a multiple of 16.
            model: position of the model in the population.
            images: int32 [n], image numbers.
            losses, predictions: float32 [n] and uint8 [n], filled.
            log_probs: float32 [recorded, positions, outputs], filled for the first `recorded` images.

        """
        assert sources
        derive_forward_weights(sizes, weights, scratch)
        tiles = examples.sources[model]
        firsts = np.empty(images.size, dtype=np.int64)
        for index in range(images.size):
            firsts[index] = first_visible(examples.images[images[index]], tiles)
        order = np.argsort(firsts)
        starts = new_starts(sizes, weights, _first_layer_starts(sizes, weights, scratch, examples.values[0]))
        hidden, cell, known_totals, known_products, known_log_probs = _run_on_background(
            sizes, weights, scratch, starts, firsts.max()
        )
        columns, masses, tops = normalisation_room(sizes)
        visible = visible_inputs(blocks_of(sizes.rows), sizes.positions, sizes.inputs)
        for begin in range(0, images.size, sizes.rows):
            block = order[begin : begin + sizes.rows]
            rows, first = block.size, firsts[block[0]]
            shown = images[block]
            labels, totals, products = examples.labels[shown], np.empty(rows), np.full(rows, known_products[first])
            for row in range(rows):
                _copy_states(sizes, scratch, rows, row, first - 1, hidden[first], cell[first])
                totals[row] = known_totals[first, labels[row]]
                if block[row] < len(log_probs):
                    log_probs[block[row], :first] = known_log_probs[:first]
            for part in range(blocks_of(rows)):
                numbers = shown[part * BLOCK_ROWS : (part + 1) * BLOCK_ROWS]
                list_visible(visible, part, examples.images, numbers, tiles, examples.values, first)
            for position in range(first, sizes.positions):
                advance(sizes, weights, scratch, rows, position, starts, visible, position)
                normalise_rows(scratch.logits, rows, sizes.outputs, sizes.padded_outputs, columns, masses, tops)
                _add_losses(scratch.logits, sizes.padded_outputs, labels, totals, products, masses, tops)
                for row in range(rows):
                    if block[row] < len(log_probs):
                        write_log_probs(
                            scratch.logits, row * sizes.padded_outputs, masses[row], tops[row],
                            log_probs[block[row], position],
                        )  # fmt: skip
            for row in range(rows):
                losses[block[row]] = (totals[row] + math.log(products[row])) / sizes.positions
                predictions[block[row]] = _largest(scratch.logits[row * sizes.padded_outputs :][: sizes.outputs])

    return classify_model


classify_model = _compile(SOURCES)
