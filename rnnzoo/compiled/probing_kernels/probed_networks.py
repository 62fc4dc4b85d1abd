"""Compiled passes over a population of LSTMs, forward and back through time, one network after the other.

A network's weights and states stay in cache while it answers a whole sequence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from rnnzoo.compiled.probing_kernels.layer import advance_layer, advance_layer_backward
from rnnzoo.compiled.probing_kernels.packed_weights import (
    flat_start,
    pack_network,
    packed_start,
    pad_input_weights,
    width_of,
)
from rnnzoo.compiled.probing_kernels.read_out import read_out, read_out_gradient
from rnnzoo.compiled.probing_kernels.sources import SOURCES
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.vectors import address


@njit
def answer_position(
    sizes, packed, model, index, position, given, given_at, given_row, before, states, gates, log_probs
):
    """Feed one position to one network.

    Args:
        sizes, packed, model: sizes, packed weights [M, packed] and which network.
        index: its place in the arrays from `before` on, which are those of `answer`.
        position: which one.
        given, given_at, given_row: inputs [rows, inputs], and the distance of their rows.
        before, states, gates, log_probs: see `answer`.

    """
    state = 2 * sizes.rows * sizes.hidden
    all_layers, weights_at = sizes.layers * state, model * sizes.packed
    at = index * sizes.positions + position
    past, past_at, now = before, index * all_layers, at * all_layers
    if position > 0:
        past, past_at = states, now - all_layers
    for layer in range(sizes.layers):
        gates_at = (at * sizes.layers + layer) * 5 * sizes.rows * sizes.hidden
        advance_layer(
            sizes.rows, sizes.hidden, packed, weights_at + packed_start(sizes, layer), width_of(sizes, layer),
            given, given_at, given_row, past, past_at + layer * state, states, now + layer * state,
            gates, gates_at, gates, gates_at + 4 * sizes.rows * sizes.hidden, False,
        )  # fmt: skip
        given, given_at, given_row = states, now + layer * state, sizes.hidden
    read_out(
        sizes, packed, weights_at + packed_start(sizes, sizes.layers), given, given_at,
        log_probs, at * sizes.rows * sizes.padded_outputs,
    )  # fmt: skip


@njit
def answer_position_backward(
    sizes, flat, model, index, position, before, states, gates, log_probs, d_log_probs, d_at, d_states, d_inputs,
    d_inputs_at, by_input, scratch_index, d_gates, d_logits,
):  # fmt: skip
    """Back through `answer_position`.

    Args:
        sizes, flat, model, index, position: as there, but flat weights [M, parameters].
        before, states, gates, log_probs: as it left them.
        d_log_probs, d_at: gradient [rows, padded_outputs].
        d_states: gradients of the states after the position [M, layers, 2, rows, hidden], end as those before it.
        d_inputs, d_inputs_at: receives the gradient of the inputs [rows, padded_inputs].
        by_input, scratch_index: what `pad_input_weights` filled, and at which place.
        d_gates, d_logits: see `scratch_of`.

    """
    columns, cells = 4 * sizes.hidden, sizes.rows * sizes.hidden
    state, all_layers = 2 * cells, sizes.layers * 2 * cells
    flat_at, at = model * sizes.parameters, index * sizes.positions + position
    past, past_at = before, index * all_layers
    if position > 0:
        past, past_at = states, (at - 1) * all_layers
    read_out_gradient(
        sizes, flat, flat_at + flat_start(sizes, sizes.layers), log_probs, at * sizes.rows * sizes.padded_outputs,
        d_log_probs, d_at, d_logits, d_states, index * all_layers + (sizes.layers - 1) * state,
    )  # fmt: skip
    for layer in range(sizes.layers - 1, -1, -1):
        gradient_at = index * all_layers + layer * state
        gates_at = (at * sizes.layers + layer) * 5 * cells
        advance_layer_backward(
            sizes.rows, sizes.hidden, gates, gates_at, gates, gates_at + 4 * cells,
            past, past_at + layer * state + cells, d_states, gradient_at, d_gates, 0,
        )  # fmt: skip
        start = flat_at + flat_start(sizes, layer)
        multiply_accumulate(
            sizes.rows, sizes.hidden, columns,
            address(d_states, gradient_at), sizes.hidden, address(d_gates, 0), columns, 1,
            address(flat, start + columns * width_of(sizes, layer)), sizes.hidden, False,
        )  # fmt: skip
        if layer == 0:
            multiply_accumulate(
                sizes.rows, sizes.padded_inputs, columns,
                address(d_inputs, d_inputs_at), sizes.padded_inputs, address(d_gates, 0), columns, 1,
                address(by_input, scratch_index * columns * sizes.padded_inputs), sizes.padded_inputs, False,
            )  # fmt: skip
        else:
            multiply_accumulate(
                sizes.rows, sizes.hidden, columns,
                address(d_states, gradient_at - state), sizes.hidden, address(d_gates, 0), columns, 1,
                address(flat, start), sizes.hidden, True,
            )  # fmt: skip


@njit
def scratch_of(sizes, networks):
    """Scratch of `answer_position_backward`: padded input weights, gradients of gates and of logits of one position."""
    by_input = np.zeros(networks * 4 * sizes.hidden * sizes.padded_inputs, np.float32)
    d_gates = np.empty(4 * sizes.rows * sizes.hidden, np.float32)
    return by_input, d_gates, np.empty(sizes.rows * sizes.padded_outputs, np.float32)


def _compile(sources: str) -> tuple[Callable, Callable, Callable]:
    """The three entry points, cached on disk under the digest of all kernel sources."""

    @njit(cache=True, nogil=True)
    def pack(sizes, first, last, flat, packed):
        """Pack networks `first` to `last`: flat [M, parameters] to packed [M, packed], see `pack_network`."""
        assert sources
        for model in range(first, last):
            pack_network(sizes, flat, model * sizes.parameters, packed, model * sizes.packed)

    @njit(cache=True, nogil=True)
    def answer(sizes, first, last, packed, inputs, before, states, gates, log_probs):
        """Let networks `first` to `last` answer sequences.

        Args:
            sizes, first, last: sizes, and which networks.
            packed: [M, packed].
            inputs: [positions, M or 1, rows, inputs].
            before: outputs and cells before the first position [M, layers, 2, rows, hidden].
            states: the same after each position [M, positions, layers, 2, rows, hidden], filled.
            gates: gate values, then tanh of the cells [M, positions, layers, 5 * rows * hidden], filled.
            log_probs: [M, positions, rows, padded_outputs], filled.

        """
        assert sources
        per_position, per_network = inputs.size // sizes.positions, sizes.rows * sizes.inputs
        for model in range(first, last):
            given_at = 0 if sizes.shared else model * per_network
            for position in range(sizes.positions):
                answer_position(
                    sizes, packed, model, model, position, inputs, given_at, sizes.inputs,
                    before, states, gates, log_probs,
                )  # fmt: skip
                given_at += per_position

    @njit(cache=True, nogil=True)
    def answer_backward(sizes, first, last, flat, before, states, gates, log_probs, d_log_probs, d_states, d_inputs):
        """Back through `answer`, for networks `first` to `last`.

        Args:
            sizes, first, last, before, states, gates, log_probs: as there.
            flat: [M, parameters].
            d_log_probs: [M, positions, rows, padded_outputs].
            d_states: gradient of the last states [M, layers, 2, rows, hidden], ends as that of `before`.
            d_inputs: [M, positions, rows, padded_inputs], filled; the padding is to be ignored.

        """
        assert sources
        by_input, d_gates, d_logits = scratch_of(sizes, 1)
        for model in range(first, last):
            pad_input_weights(sizes, flat, model, by_input, 0)
            for position in range(sizes.positions - 1, -1, -1):
                at = (model * sizes.positions + position) * sizes.rows
                answer_position_backward(
                    sizes, flat, model, model, position, before, states, gates, log_probs,
                    d_log_probs, at * sizes.padded_outputs, d_states, d_inputs, at * sizes.padded_inputs,
                    by_input, 0, d_gates, d_logits,
                )  # fmt: skip

    return pack, answer, answer_backward


pack, answer, answer_backward = _compile(SOURCES)
