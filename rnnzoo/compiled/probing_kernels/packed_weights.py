"""The two forms of a population's weights that the kernels work with, and what they are told of a call.

Weights come flat, as the zoo has them, whose rows are what the backward pass multiplies by, and packed, transposed for
the forward pass. All arrays are float32, one-dimensional and contiguous; shapes are given row by row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from rnnzoo.compiled.probing_kernels.panels import transpose_to_panels

_MASKED = np.float32(-1e30)


class ProbeSizes(NamedTuple):
    """What the kernels know of the networks and of the call.

    Args:
        layers, inputs, hidden, outputs: of the networks; hidden a multiple of 16.
        padded_inputs, padded_outputs: rounded up to a multiple of 16.
        parameters, packed: numbers of a network in either form.
        rows: sequences per network.
        positions: inputs of each.
        shared: whether all networks get the same inputs.
    """

    layers: int
    inputs: int
    hidden: int
    outputs: int
    padded_inputs: int
    padded_outputs: int
    parameters: int
    packed: int
    rows: int
    positions: int
    shared: bool


@njit
def width_of(sizes, layer):
    """Inputs of a layer."""
    return sizes.inputs if layer == 0 else sizes.hidden


@njit
def _layer_start(sizes, layer, biases):
    """Where a layer begins in weights with so many bias vectors each; the read-out is behind the last."""
    gates = 4 * sizes.hidden
    first = gates * (sizes.inputs + sizes.hidden + biases)
    return 0 if layer == 0 else first + (layer - 1) * gates * (2 * sizes.hidden + biases)


@njit
def flat_start(sizes, layer):
    """Where a layer begins in the flat weights."""
    return _layer_start(sizes, layer, 2)


@njit
def packed_start(sizes, layer):
    """Where a layer begins in the packed weights, which hold the sum of both biases."""
    return _layer_start(sizes, layer, 1)


@njit
def _transpose(source, source_at, rows, columns, target, target_at, target_row):
    """Copy [rows, columns] to [columns, target_row], transposed."""
    for row in range(rows):
        for column in range(columns):
            target[target_at + column * target_row + row] = source[source_at + row * columns + column]


@njit
def pack_network(sizes, flat, flat_at, packed, packed_at):
    """One network: per layer panels of input weights [K, 4H] and of recurrent weights [H, 4H], bias sum [4H].

    Then the read-out, [H, padded_outputs], and its bias [padded_outputs], whose padding is so low that it gets no mass.
    """
    gates = 4 * sizes.hidden
    for layer in range(sizes.layers):
        width = width_of(sizes, layer)
        source, target = flat_at + flat_start(sizes, layer), packed_at + packed_start(sizes, layer)
        transpose_to_panels(flat, source, gates, width, packed, target)
        source, target = source + gates * width, target + gates * width
        transpose_to_panels(flat, source, gates, sizes.hidden, packed, target)
        source, target = source + gates * sizes.hidden, target + gates * sizes.hidden
        for gate in range(gates):
            packed[target + gate] = flat[source + gate] + flat[source + gates + gate]
    source, target = flat_at + flat_start(sizes, sizes.layers), packed_at + packed_start(sizes, sizes.layers)
    bias = target + sizes.hidden * sizes.padded_outputs
    packed[target:bias] = 0
    packed[bias : bias + sizes.padded_outputs] = _MASKED
    _transpose(flat, source, sizes.outputs, sizes.hidden, packed, target, sizes.padded_outputs)
    source += sizes.outputs * sizes.hidden
    packed[bias : bias + sizes.outputs] = flat[source : source + sizes.outputs]


@njit
def pad_input_weights(sizes, flat, model, by_input, index):
    """The first layer's input weights [4 hidden, inputs] of one network as [4 hidden, padded_inputs], at a place."""
    start = index * 4 * sizes.hidden * sizes.padded_inputs
    for gate in range(4 * sizes.hidden):
        for i in range(sizes.inputs):
            value = flat[model * sizes.parameters + gate * sizes.inputs + i]
            by_input[start + gate * sizes.padded_inputs + i] = value
