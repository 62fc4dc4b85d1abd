"""One LSTM layer at one position, forward and back."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.compiled.probing_kernels.panels import multiply_panels
from rnnzoo.compiled.vector_kernels.activations import divide_three, divide_two, sigmoid_fraction, tanh_fraction
from rnnzoo.compiled.vector_kernels.vectors import LANES, address, load, splat, store

_ONE = np.float32(1.0)


@njit
def advance_layer(
    rows, hidden, packed, weights_at, width, given, given_at, given_row, before, before_at, now, now_at,
    gates, gates_at, squashed, squashed_at, rested,
):  # fmt: skip
    """One position of one layer.

    Args:
        rows, hidden: sizes.
        packed, weights_at, width: the layer's weights, in panels as in `pack_network`, and number of inputs.
        given, given_at, given_row: its inputs [rows, width], and the distance of their rows.
        before, before_at, now, now_at: outputs and cells [2, rows, hidden] before and after.
        gates, gates_at: receives the values of the four gates [rows, 4 hidden].
        squashed, squashed_at: receives tanh of the cells [rows, hidden].
        rested: whether the outputs before are known to be zero.

    """
    columns = 4 * hidden
    bias = weights_at + (width + hidden) * columns
    for row in range(rows):
        for i in range(0, columns, LANES):
            store(gates, gates_at + row * columns + i, load(packed, bias + i))
    multiply_panels(
        rows, columns, width, address(gates, gates_at), columns, address(given, given_at), given_row,
        address(packed, weights_at), True,
    )  # fmt: skip
    if not rested:
        multiply_panels(
            rows, columns, hidden, address(gates, gates_at), columns, address(before, before_at), hidden,
            address(packed, weights_at + width * columns), True,
        )  # fmt: skip
    cells = rows * hidden
    for row in range(rows):
        for unit in range(0, hidden, LANES):
            at, state = gates_at + row * columns + unit, row * hidden + unit
            input_gate, forget_gate, cell_gate = divide_three(
                sigmoid_fraction(load(gates, at)),
                sigmoid_fraction(load(gates, at + hidden)),
                tanh_fraction(load(gates, at + 2 * hidden)),
            )
            cell = forget_gate * load(before, before_at + cells + state) + input_gate * cell_gate
            output_gate, tanh = divide_two(sigmoid_fraction(load(gates, at + 3 * hidden)), tanh_fraction(cell))
            store(gates, at, input_gate)
            store(gates, at + hidden, forget_gate)
            store(gates, at + 2 * hidden, cell_gate)
            store(gates, at + 3 * hidden, output_gate)
            store(squashed, squashed_at + state, tanh)
            store(now, now_at + cells + state, cell)
            store(now, now_at + state, output_gate * tanh)


@njit
def advance_layer_backward(
    rows, hidden, gates, gates_at, squashed, squashed_at, before, cells_at, d_states, gradient_at, d_gates, d_gates_at
):
    """Gradient of one layer's pre-activations [rows, 4 hidden] at one position, into `d_gates`.

    Args:
        rows, hidden: sizes.
        gates, gates_at, squashed, squashed_at: as `advance_layer` left them.
        before, cells_at: cells [rows, hidden] before this position.
        d_states, gradient_at: gradients of outputs and cells [2, rows, hidden] after it, then before it.
        d_gates, d_gates_at: result; may be where the gates are.

    """
    columns, one = 4 * hidden, splat(_ONE)
    cells = rows * hidden
    for row in range(rows):
        for unit in range(0, hidden, LANES):
            at, state = gates_at + row * columns + unit, row * hidden + unit
            to = d_gates_at + row * columns + unit
            input_gate, forget_gate = load(gates, at), load(gates, at + hidden)
            cell_gate, output_gate = load(gates, at + 2 * hidden), load(gates, at + 3 * hidden)
            tanh, d_output = load(squashed, squashed_at + state), load(d_states, gradient_at + state)
            by_cell = load(d_states, gradient_at + cells + state) + d_output * output_gate * (one - tanh * tanh)
            store(d_gates, to, by_cell * cell_gate * input_gate * (one - input_gate))
            store(d_gates, to + hidden, by_cell * load(before, cells_at + state) * forget_gate * (one - forget_gate))
            store(d_gates, to + 2 * hidden, by_cell * input_gate * (one - cell_gate * cell_gate))
            store(d_gates, to + 3 * hidden, d_output * tanh * output_gate * (one - output_gate))
            store(d_states, gradient_at + cells + state, by_cell * forget_gate)
