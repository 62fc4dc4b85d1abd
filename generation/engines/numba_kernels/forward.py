"""The forward pass: derived weights, one LSTM position, all positions of a layer."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.activations import (
    divide_three,
    divide_two,
    sigmoid_fraction,
    tanh_fraction,
)
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.rows import copy_row
from rnnzoo.compiled.vector_kernels.vectors import LANES, address, load, store
from rnnzoo.generation.engines.numba_kernels.layout import GROUP, input_rows, layer_start, readout_start

MASKED = np.float32(-1e30)


@njit
def derive_forward_weights(sizes, weights, scratch):
    """What the forward pass reads beside the packed weights: bias sums, token table, read-out transposed.

    Row v of `table` is the first layer's whole input projection of token v, bias included.
    """
    width = 4 * sizes.hidden
    for layer in range(sizes.layers):
        biases = layer_start(sizes, layer) + (input_rows(sizes, layer) + sizes.hidden) * width
        for i in range(0, width, LANES):
            both = load(weights, biases + i) + load(weights, biases + width + i)
            store(scratch.bias, layer * width + i, both)
    for row in range(sizes.inputs):
        for i in range(0, width, LANES):
            store(scratch.table, row * width + i, load(weights, row * width + i) + load(scratch.bias, i))
    start = readout_start(sizes)
    for unit in range(sizes.hidden):
        for output in range(sizes.outputs):
            value = weights[start + output * sizes.hidden + unit]
            scratch.readout_weights[unit * sizes.padded_outputs + output] = value


@njit(forceinline=True)
def cell_values(gates, at, state):
    """One vector of units: pre-activations of the four gates from `at` on and the cell state before.

    Returns:
        Input, forget_gate, cell and output gate, the cell state after, its tanh.

    """
    input_gate, forget_gate, cell_gate = divide_three(
        sigmoid_fraction(load(gates, at)),
        sigmoid_fraction(load(gates, at + GROUP)),
        tanh_fraction(load(gates, at + 2 * GROUP)),
    )
    state = forget_gate * state + input_gate * cell_gate
    output_gate, squashed = divide_two(sigmoid_fraction(load(gates, at + 3 * GROUP)), tanh_fraction(state))
    return input_gate, forget_gate, cell_gate, output_gate, state, squashed


@njit
def cell_step(rows, hidden_size, gates, gates_at, cell, before, after, squashed, squashed_at, hidden, hidden_at):
    """One position of one layer: pre-activations [rows, 4 hidden] become gates in place, states follow.

    Args:
        rows, hidden_size: sizes, hidden padded.
        gates, gates_at: pre-activations in, gate values out.
        cell, before, after: where the cell states [rows, hidden] before and after this position lie.
        squashed, squashed_at: receives tanh of the cell state.
        hidden, hidden_at: receives the output.

    """
    for row in range(rows):
        for group in range(0, hidden_size, GROUP):
            for lane in range(0, GROUP, LANES):
                at = gates_at + 4 * (row * hidden_size + group) + lane
                unit = row * hidden_size + group + lane
                state = load(cell, before + unit)
                input_gate, forget_gate, cell_gate, output_gate, state, squashed_state = cell_values(gates, at, state)
                store(gates, at, input_gate)
                store(gates, at + GROUP, forget_gate)
                store(gates, at + 2 * GROUP, cell_gate)
                store(gates, at + 3 * GROUP, output_gate)
                store(cell, after + unit, state)
                store(squashed, squashed_at + unit, squashed_state)
                store(hidden, hidden_at + unit, output_gate * squashed_state)


@njit
def project_inputs(sizes, weights, scratch, layer, steps, gates_at, tokens_at, inputs, inputs_at):
    """Pre-activations [steps, 4 hidden] from a layer's inputs and bias, without the recurrent part.

    The first layer of a token model looks its row up (`inputs` empty); every other layer is a product.
    """
    width = 4 * sizes.hidden
    if inputs.size == 0:
        for step in range(steps):
            token = scratch.tokens[tokens_at + step]
            copy_row(scratch.table, token * width, scratch.gates, gates_at + step * width, width)
        return
    depth = input_rows(sizes, layer)
    for step in range(steps):
        copy_row(scratch.bias, layer * width, scratch.gates, gates_at + step * width, width)
    multiply_accumulate(
        steps, width, depth,
        address(scratch.gates, gates_at), width,
        address(inputs, inputs_at), depth, 1,
        address(weights, layer_start(sizes, layer)), width, True,
    )  # fmt: skip


@njit
def add_recurrent(sizes, weights, layer, rows, gates, gates_at, hidden, hidden_at):
    """Add the recurrent part to the pre-activations [rows, 4 hidden] of one position."""
    width = 4 * sizes.hidden
    recurrent = layer_start(sizes, layer) + input_rows(sizes, layer) * width
    multiply_accumulate(
        rows, width, sizes.hidden,
        address(gates, gates_at), width,
        address(hidden, hidden_at), sizes.hidden, 1,
        address(weights, recurrent), width, True,
    )  # fmt: skip


@njit
def run_layer(sizes, weights, scratch, layer, rows, inputs, inputs_at):
    """One layer over all positions, everything the backward pass needs kept in scratch.

    Scratch then holds, per layer: gates [positions, rows, 4 hidden], tanh of the cell [positions, rows, hidden],
    hidden and cell states [positions + 1, rows, hidden], the zero state first.
    """
    width, state = 4 * sizes.hidden, rows * sizes.hidden
    gates_at = layer * sizes.positions * sizes.rows * width
    squashed_at = layer * sizes.positions * sizes.rows * sizes.hidden
    states_at = layer * (sizes.positions + 1) * sizes.rows * sizes.hidden
    scratch.hidden[states_at : states_at + state] = 0
    scratch.cell[states_at : states_at + state] = 0
    project_inputs(sizes, weights, scratch, layer, sizes.positions * rows, gates_at, 0, inputs, inputs_at)
    for position in range(sizes.positions):
        before = states_at + position * state
        at = gates_at + position * rows * width
        if position > 0:
            add_recurrent(sizes, weights, layer, rows, scratch.gates, at, scratch.hidden, before)
        cell_step(
            rows, sizes.hidden, scratch.gates, at, scratch.cell, before, before + state,
            scratch.squashed_cell, squashed_at + position * state, scratch.hidden, before + state,
        )  # fmt: skip


@njit
def compute_logits(sizes, weights, scratch, steps, hidden_at):
    """Logits [steps, padded_outputs] of top-layer outputs [steps, hidden]; padding is so low that it gets no mass."""
    bias = readout_start(sizes) + sizes.outputs * sizes.hidden
    for step in range(steps):
        at = step * sizes.padded_outputs
        copy_row(weights, bias, scratch.logits, at, sizes.padded_outputs)
        scratch.logits[at + sizes.outputs : at + sizes.padded_outputs] = MASKED
    multiply_accumulate(
        steps, sizes.padded_outputs, sizes.hidden,
        address(scratch.logits, 0), sizes.padded_outputs,
        address(scratch.hidden, hidden_at), sizes.hidden, 1,
        address(scratch.readout_weights, 0), sizes.padded_outputs, True,
    )  # fmt: skip
