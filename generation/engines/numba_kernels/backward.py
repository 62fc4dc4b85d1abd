"""The backward pass: softmax cross-entropy, read-out, and each layer back through time."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.activations import exponential
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.vectors import (
    LANES,
    address,
    at_least,
    largest_lane,
    load,
    multiply_add,
    splat,
    store,
    sum_of_lanes,
)
from rnnzoo.generation.engines.numba_kernels.layout import GROUP, input_rows, layer_start, readout_start

_ONE = np.float32(1.0)
_STEPS_PER_PRODUCT = 64


@njit
def derive_backward_weights(sizes, weights, scratch):
    """Each layer's weights transposed for the backward products: [4 hidden, hidden], recurrent part first.

    Above the first layer a row holds the recurrent and then the input weights: [4 hidden, 2 hidden].
    """
    width = 4 * sizes.hidden
    for layer in range(sizes.layers):
        base = layer * 2 * sizes.hidden * width
        columns = sizes.hidden if layer == 0 else 2 * sizes.hidden
        recurrent = layer_start(sizes, layer) + input_rows(sizes, layer) * width
        for gate in range(width):
            for unit in range(sizes.hidden):
                scratch.backward_weights[base + gate * columns + unit] = weights[recurrent + unit * width + gate]
        if layer > 0:
            inputs = layer_start(sizes, layer)
            for gate in range(width):
                for unit in range(sizes.hidden):
                    value = weights[inputs + unit * width + gate]
                    scratch.backward_weights[base + gate * columns + sizes.hidden + unit] = value


@njit
def softmax_gradient(sizes, scratch, rows, scale, with_loss):
    """Turn logits [positions * rows, padded_outputs] into the gradient of the loss with respect to them.

    The loss is the cross-entropy weighted by `row_weight`, times `scale` (one over the targets of the batch).
    Where the target is negative there is none.

    Returns:
        The loss, float64; 0 unless `with_loss`.

    """
    loss = 0.0
    width = sizes.padded_outputs
    logits = scratch.logits
    for step in range(sizes.positions * rows):
        at = step * width
        if scratch.targets[step] < 0:
            logits[at : at + width] = 0
            continue
        target = at + scratch.targets[step]
        weight = scratch.row_weight[step % rows] * scale
        highest = load(logits, at)
        for i in range(LANES, width, LANES):
            highest = at_least(highest, load(logits, at + i))
        top = largest_lane(highest)
        target_logit = logits[target]
        total = splat(np.float32(0.0))
        for i in range(0, width, LANES):
            share = exponential(load(logits, at + i) - splat(top))
            store(logits, at + i, share)
            total = total + share
        mass = sum_of_lanes(total)
        factor = splat(weight / mass)
        for i in range(0, width, LANES):
            store(logits, at + i, load(logits, at + i) * factor)
        logits[target] -= weight
        if with_loss:
            loss += np.float64(weight) * (math.log(mass) + np.float64(top) - np.float64(target_logit))
    return loss


@njit
def readout_gradient(sizes, weights, scratch, rows, hidden_at):
    """Gradient of the read-out, and of the top layer's outputs into the upper half of `output_gradients`."""
    start, steps = readout_start(sizes), sizes.positions * rows
    gradient = scratch.gradient
    multiply_accumulate(
        sizes.outputs, sizes.hidden, steps,
        address(gradient, start), sizes.hidden,
        address(scratch.logits, 0), 1, sizes.padded_outputs,
        address(scratch.hidden, hidden_at), sizes.hidden, True,
    )  # fmt: skip
    add_row_sum(scratch, scratch.logits, 0, sizes.padded_outputs, steps, start + sizes.outputs * sizes.hidden)
    multiply_accumulate(
        steps, sizes.hidden, sizes.outputs,
        address(scratch.output_gradients, sizes.hidden), 2 * sizes.hidden,
        address(scratch.logits, 0), sizes.padded_outputs, 1,
        address(weights, start), sizes.hidden, False,
    )  # fmt: skip


@njit
def add_row_sum(scratch, values, at, width, steps, gradient_at):
    """Add the sum over rows of values [steps, width] to `width` entries of the gradient."""
    multiply_accumulate(
        1, width, steps,
        address(scratch.gradient, gradient_at), width,
        address(scratch.one, 0), 0, 0,
        address(values, at), width, True,
    )  # fmt: skip


@njit
def cell_step_backward(sizes, scratch, rows, gates_at, squashed_at, cell_before, gradient_at, carry_at):
    """One position of one layer: gates [rows, 4 hidden] become gradients of the pre-activations, in place.

    The output's gradient is the part from above (upper half of this position's rows of `output_gradients`) plus the
    part from the position after (lower half of that position's rows).
    """
    one = splat(_ONE)
    gates, cell_gradients = scratch.gates, scratch.cell_gradients
    for row in range(rows):
        for group in range(0, sizes.hidden, GROUP):
            for lane in range(0, GROUP, LANES):
                at = gates_at + 4 * (row * sizes.hidden + group) + lane
                unit = row * sizes.hidden + group + lane
                place = 2 * row * sizes.hidden + group + lane
                input_gate, forget_gate = load(gates, at), load(gates, at + GROUP)
                cell_gate, output_gate = load(gates, at + 2 * GROUP), load(gates, at + 3 * GROUP)
                squashed = load(scratch.squashed_cell, squashed_at + unit)
                output = load(scratch.output_gradients, gradient_at + place + sizes.hidden) + load(
                    scratch.output_gradients, carry_at + place
                )
                through = output * output_gate
                state = multiply_add(through, one - squashed * squashed, load(cell_gradients, unit))
                store(cell_gradients, unit, state * forget_gate)
                store(gates, at, state * cell_gate * input_gate * (one - input_gate))
                before = load(scratch.cell, cell_before + unit)
                store(gates, at + GROUP, state * before * forget_gate * (one - forget_gate))
                store(gates, at + 2 * GROUP, state * input_gate * (one - cell_gate * cell_gate))
                store(gates, at + 3 * GROUP, through * squashed * (one - output_gate))


@njit
def add_token_gradient(sizes, scratch, first, steps, gates_at):
    """Add each position's pre-activation gradient [4 hidden] to the input weights of its token."""
    width = 4 * sizes.hidden
    for step in range(steps):
        row = scratch.tokens[first + step] * width
        at = gates_at + step * width
        for i in range(0, width, LANES):
            store(scratch.gradient, row + i, load(scratch.gradient, row + i) + load(scratch.gates, at + i))


@njit
def weight_gradient(sizes, scratch, layer, rows, first, last, gates_at, states_at, inputs, inputs_at):
    """Add the gradient of a layer's weights and biases from positions [first, last)."""
    width = 4 * sizes.hidden
    start, depth = layer_start(sizes, layer), input_rows(sizes, layer)
    steps, skipped = (last - first) * rows, first * rows
    at = gates_at + skipped * width
    if inputs.size == 0:
        add_token_gradient(sizes, scratch, skipped, steps, at)
    else:
        multiply_accumulate(
            depth, width, steps,
            address(scratch.gradient, start), width,
            address(inputs, inputs_at + skipped * depth), 1, depth,
            address(scratch.gates, at), width, True,
        )  # fmt: skip
    multiply_accumulate(
        sizes.hidden, width, steps,
        address(scratch.gradient, start + depth * width), width,
        address(scratch.hidden, states_at + skipped * sizes.hidden), 1, sizes.hidden,
        address(scratch.gates, at), width, True,
    )  # fmt: skip
    add_row_sum(scratch, scratch.gates, at, width, steps, start + (depth + sizes.hidden) * width)


@njit
def run_layer_backward(sizes, scratch, layer, rows, inputs, inputs_at):
    """One layer from the last position to the first: its weight gradients, and the gradient of its inputs.

    On entry the upper half of each row of `output_gradients` holds the gradient of this layer's outputs; on return,
    above the first layer, that of the outputs of the layer below.
    """
    width, state = 4 * sizes.hidden, rows * sizes.hidden
    gates_at = layer * sizes.positions * sizes.rows * width
    squashed_at = layer * sizes.positions * sizes.rows * sizes.hidden
    states_at = layer * (sizes.positions + 1) * sizes.rows * sizes.hidden
    columns = sizes.hidden if layer == 0 else 2 * sizes.hidden
    scratch.cell_gradients[:state] = 0
    after_last = sizes.positions * 2 * state
    scratch.output_gradients[after_last : after_last + 2 * state] = 0
    together = max(1, _STEPS_PER_PRODUCT // rows)
    last = sizes.positions
    for position in range(sizes.positions - 1, -1, -1):
        at = gates_at + position * rows * width
        gradient_at = position * 2 * state
        cell_step_backward(
            sizes, scratch, rows, at, squashed_at + position * state,
            states_at + position * state, gradient_at, gradient_at + 2 * state,
        )  # fmt: skip
        if position > 0 or layer > 0:
            multiply_accumulate(
                rows, columns, width,
                address(scratch.output_gradients, gradient_at), 2 * sizes.hidden,
                address(scratch.gates, at), width, 1,
                address(scratch.backward_weights, layer * 2 * sizes.hidden * width), columns, False,
            )  # fmt: skip
        if last - position == together or position == 0:
            weight_gradient(sizes, scratch, layer, rows, position, last, gates_at, states_at, inputs, inputs_at)
            last = position


@njit
def copy_bias_gradients(sizes, gradient):
    """Both biases of a layer have the same gradient; the passes above fill the first."""
    width = 4 * sizes.hidden
    for layer in range(sizes.layers):
        at = layer_start(sizes, layer) + (input_rows(sizes, layer) + sizes.hidden) * width
        gradient[at + width : at + 2 * width] = gradient[at : at + width]
