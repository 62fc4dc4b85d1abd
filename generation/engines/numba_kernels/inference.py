"""Run models forward only: states of one position at a time, nothing kept for a backward pass."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rnnzoo.compiled.vector_kernels.activations import exponential
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.rows import copy_row
from rnnzoo.compiled.vector_kernels.transposition import transpose_block
from rnnzoo.compiled.vector_kernels.vectors import (
    LANES,
    address,
    at_least,
    load,
    splat,
    store,
)
from rnnzoo.generation.engines.numba_kernels.forward import MASKED
from rnnzoo.generation.engines.numba_kernels.gate_blocks import BLOCK_ROWS, Inputs, next_states, pre_activations
from rnnzoo.generation.engines.numba_kernels.layout import GROUP, input_rows, layer_start, readout_start
from rnnzoo.generation.engines.numba_kernels.visible_tiles import visible_at


class Starts(NamedTuple):
    """Where the sums of pre-activations start.

    Args:
        first: float32 [n * 4 * hidden], what the first layer's sums may start from.
        rows: int64 [rows], where in `first` each row's sums start.
        every: int64 [hidden + 2], numbers of all inputs of the other layers, how many they are, and zero.
        readout: float32 [padded_outputs], the read-out's bias, so low in the padding that it gets no mass.

    """

    first: NDArray[np.float32]
    rows: NDArray[np.int64]
    every: NDArray[np.int64]
    readout: NDArray[np.float32]


@njit
def new_starts(sizes, weights, first):
    """`Starts` of a model, all rows at the beginning of `first`."""
    every = np.arange(sizes.hidden + 2)
    every[-1] = 0
    bias = readout_start(sizes) + sizes.outputs * sizes.hidden
    readout = np.full(sizes.padded_outputs, MASKED)
    readout[: sizes.outputs] = weights[bias : bias + sizes.outputs]
    return Starts(first, np.zeros(sizes.rows, dtype=np.int64), every, readout)


@njit
def outputs_at(sizes, rows, layer, turn):
    """Where the outputs [rows, hidden] of a layer after this turn lie in scratch: they alternate between two places."""
    return ((turn & 1) * sizes.layers + layer) * rows * sizes.hidden


@njit
def reset_states(sizes, scratch, rows):
    """Zero the cell states [layers, rows, hidden] of some rows and the outputs before turn 0."""
    at = outputs_at(sizes, rows, 0, -1)
    scratch.hidden[at : at + sizes.layers * rows * sizes.hidden] = 0
    scratch.cell[: sizes.layers * rows * sizes.hidden] = 0


@njit
def advance(sizes, weights, scratch, rows, turn, starts, visible, position):
    """Feed one more position to some rows; logits [rows, padded_outputs] are then in scratch.

    Args:
        sizes, weights, scratch: the model, packed, and this thread's working memory.
        rows: how many.
        turn: number of the call since the states were set, so that outputs before and after are told apart.
        starts: `Starts`.
        visible, position: `VisibleInputs` of the blocks of these rows, and which position of theirs this is.

    """
    width = 4 * sizes.hidden
    for layer in range(sizes.layers):
        before, after = outputs_at(sizes, rows, layer, turn - 1), outputs_at(sizes, rows, layer, turn)
        if layer == 0:
            start_rows, start_step = address(starts.rows, 0), 1
            inputs = visible_at(visible, position, sizes.inputs)
        else:
            start_rows, start_step = address(starts.every, sizes.hidden + 1), 0
            inputs = Inputs(
                address(scratch.hidden, outputs_at(sizes, rows, layer - 1, turn)), BLOCK_ROWS * sizes.hidden,
                sizes.hidden, 1, address(starts.every, 0), 0, address(starts.every, sizes.hidden), 0,
            )  # fmt: skip
        input_weights = layer_start(sizes, layer)
        recurrent_weights = input_weights + input_rows(sizes, layer) * width
        for unit in range(0, sizes.hidden, LANES):
            column = unit // GROUP * 4 * GROUP + unit % GROUP
            start = address(starts.first, column) if layer == 0 else address(scratch.bias, layer * width + column)
            pre_activations(
                rows, address(scratch.gates, 0), start, start_rows, start_step, inputs,
                address(weights, input_weights + column), address(scratch.hidden, before), sizes.hidden,
                address(weights, recurrent_weights + column),
            )  # fmt: skip
            state = layer * rows * sizes.hidden + unit
            next_states(rows, sizes.hidden, scratch.gates, scratch.cell, state, scratch.hidden, after + unit)
    for row in range(rows):
        copy_row(starts.readout, 0, scratch.logits, row * sizes.padded_outputs, sizes.padded_outputs)
    multiply_accumulate(
        rows, sizes.padded_outputs, sizes.hidden,
        address(scratch.logits, 0), sizes.padded_outputs,
        address(scratch.hidden, outputs_at(sizes, rows, sizes.layers - 1, turn)), sizes.hidden, 1,
        address(scratch.readout_weights, 0), sizes.padded_outputs, True,
    )  # fmt: skip


@njit
def normalisation_room(sizes):
    """Working memory of `normalise_rows` and room for its results."""
    room = (sizes.rows + LANES - 1) // LANES * LANES
    columns = np.empty(sizes.padded_outputs * LANES, dtype=np.float32)
    return columns, np.empty(room, dtype=np.float32), np.empty(room, dtype=np.float32)


@njit
def write_log_probs(logits, at, mass, top, log_probs):
    """Log-probabilities [outputs] of the logits from `at` on, given what `normalise_rows` found."""
    normaliser = np.float64(top) + math.log(mass)
    for output in range(log_probs.size):
        log_probs[output] = np.float64(logits[at + output]) - normaliser


@njit
def normalise_rows(logits, rows, outputs, width, columns, masses, tops):
    """For each of some rows of logits the sum of exp(logit - largest logit), and the largest logit.

    The log of the sum of exponentials of a row is log(mass) + top. `LANES` rows are done side by side, each in the
    same order whatever the others are.

    Args:
        logits: float32 [rows rounded up to `LANES`, width].
        rows, outputs, width: how many rows; how many logits count; distance of rows.
        columns: float32 [width * LANES], working memory.
        masses, tops: float32 [rows rounded up to `LANES`], filled.

    """
    for begin in range(0, rows, LANES):
        for i in range(0, width, LANES):
            transpose_block(address(columns, i * LANES), address(logits, begin * width + i), width)
        top = load(columns, 0)
        for output in range(1, outputs):
            top = at_least(top, load(columns, output * LANES))
        mass = splat(np.float32(0.0))
        for output in range(outputs):
            mass = mass + exponential(load(columns, output * LANES) - top)
        store(masses, begin, mass)
        store(tops, begin, top)
