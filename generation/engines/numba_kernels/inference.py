"""Run models forward only: states of one position at a time, nothing kept for a backward pass."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.generation.engines.numba_kernels.forward import add_recurrent, cell_values, compute_logits, project_inputs
from rnnzoo.generation.engines.numba_kernels.layout import GROUP
from rnnzoo.vector_kernels.activations import exponential
from rnnzoo.vector_kernels.vectors import (
    LANES,
    at_least,
    largest_lane,
    load,
    splat,
    store,
    sum_of_lanes,
)


@njit
def reset_states(sizes, scratch, rows):
    """Zero the hidden and cell states [layers, rows, hidden] of some rows."""
    scratch.hidden[: sizes.layers * rows * sizes.hidden] = 0
    scratch.cell[: sizes.layers * rows * sizes.hidden] = 0


@njit
def _states_step(rows, hidden_size, gates, cell, hidden, at):
    """Cell states and outputs [rows, hidden] of one layer, from `at` on, after one position."""
    for row in range(rows):
        for group in range(0, hidden_size, GROUP):
            for lane in range(0, GROUP, LANES):
                unit = at + row * hidden_size + group + lane
                gates_at = 4 * (row * hidden_size + group) + lane
                _, _, _, leave, state, squashed = cell_values(gates, gates_at, load(cell, unit))
                store(cell, unit, state)
                store(hidden, unit, leave * squashed)


@njit
def advance(sizes, weights, scratch, rows, inputs, inputs_at, tokens_at):
    """Feed one more position to some rows; logits [rows, padded_outputs] are then in scratch."""
    state = rows * sizes.hidden
    for layer in range(sizes.layers):
        at = layer * state
        if layer == 0:
            project_inputs(sizes, weights, scratch, layer, rows, 0, tokens_at, inputs, inputs_at)
        else:
            project_inputs(sizes, weights, scratch, layer, rows, 0, 0, scratch.hidden, at - state)
        add_recurrent(sizes, weights, layer, rows, scratch.gates, 0, scratch.hidden, at)
        _states_step(rows, sizes.hidden, scratch.gates, scratch.cell, scratch.hidden, at)
    compute_logits(sizes, weights, scratch, rows, (sizes.layers - 1) * state)


@njit
def softmax_row(sizes, scratch, row):
    """Unnormalised probabilities of one row, exp(logit - largest logit), in `shares` [padded_outputs].

    Returns:
        Their sum and the largest logit, float32: the log of the sum of exponentials is log(sum) + largest.

    """
    at, width = row * sizes.padded_outputs, sizes.padded_outputs
    highest = load(scratch.logits, at)
    for i in range(LANES, width, LANES):
        highest = at_least(highest, load(scratch.logits, at + i))
    top = largest_lane(highest)
    total = splat(np.float32(0.0))
    for i in range(0, width, LANES):
        share = exponential(load(scratch.logits, at + i) - splat(top))
        store(scratch.shares, i, share)
        total = total + share
    return sum_of_lanes(total), top
