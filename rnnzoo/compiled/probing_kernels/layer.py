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
            enter, forget, candidate = divide_three(
                sigmoid_fraction(load(gates, at)),
                sigmoid_fraction(load(gates, at + hidden)),
                tanh_fraction(load(gates, at + 2 * hidden)),
            )
            cell = forget * load(before, before_at + cells + state) + enter * candidate
            leave, tanh = divide_two(sigmoid_fraction(load(gates, at + 3 * hidden)), tanh_fraction(cell))
            store(gates, at, enter)
            store(gates, at + hidden, forget)
            store(gates, at + 2 * hidden, candidate)
            store(gates, at + 3 * hidden, leave)
            store(squashed, squashed_at + state, tanh)
            store(now, now_at + cells + state, cell)
            store(now, now_at + state, leave * tanh)


@njit
def retreat_layer(
    rows, hidden, gates, gates_at, squashed, squashed_at, before, cells_at, d_states, flow_at, d_gates, d_gates_at
):
    """Gradient of one layer's pre-activations [rows, 4 hidden] at one position, into `d_gates`.

    Args:
        rows, hidden: sizes.
        gates, gates_at, squashed, squashed_at: as `advance_layer` left them.
        before, cells_at: cells [rows, hidden] before this position.
        d_states, flow_at: gradients of outputs and cells [2, rows, hidden] after it; the cells' end as that before it.
        d_gates, d_gates_at: result; may be where the gates are.

    """
    columns, one = 4 * hidden, splat(_ONE)
    cells = rows * hidden
    for row in range(rows):
        for unit in range(0, hidden, LANES):
            at, state = gates_at + row * columns + unit, row * hidden + unit
            to = d_gates_at + row * columns + unit
            enter, forget = load(gates, at), load(gates, at + hidden)
            candidate, leave = load(gates, at + 2 * hidden), load(gates, at + 3 * hidden)
            tanh, flow = load(squashed, squashed_at + state), load(d_states, flow_at + state)
            by_cell = load(d_states, flow_at + cells + state) + flow * leave * (one - tanh * tanh)
            store(d_gates, to, by_cell * candidate * enter * (one - enter))
            store(d_gates, to + hidden, by_cell * load(before, cells_at + state) * forget * (one - forget))
            store(d_gates, to + 2 * hidden, by_cell * enter * (one - candidate * candidate))
            store(d_gates, to + 3 * hidden, flow * tanh * leave * (one - leave))
            store(d_states, flow_at + cells + state, by_cell * forget)
