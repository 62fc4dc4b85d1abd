"""How a model's parameters and a thread's working memory lie in memory.

Kernels hold every matrix the way its inner loop reads it: LSTM weights transposed to [inputs, 4 hidden], so
that a row of B in the product is contiguous, with the four gates of 16 units side by side. The hidden size is
padded to a multiple of 16; padded units have zero weights, produce zeros and receive zero gradients, so
they stay zero under AdamW.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rnnzoo.networks.network import Network

GROUP = 16
"""Hidden units whose gates lie side by side; every padded size is a multiple of it."""

_CACHE_LINE = 64


class Sizes(NamedTuple):
    """Shape of a model as the kernels see it, plus the most rows they run at once."""

    inputs: int
    hidden: int
    layers: int
    outputs: int
    padded_outputs: int
    positions: int
    rows: int


class Scratch(NamedTuple):
    """Working memory of one thread; float32 unless noted, all one-dimensional, sizes in `new_scratch`."""

    gates: NDArray[np.float32]
    hidden: NDArray[np.float32]
    cell: NDArray[np.float32]
    squashed_cell: NDArray[np.float32]
    inputs: NDArray[np.float32]
    logits: NDArray[np.float32]
    shares: NDArray[np.float32]
    output_gradients: NDArray[np.float32]
    cell_gradients: NDArray[np.float32]
    gradient: NDArray[np.float32]
    bias: NDArray[np.float32]
    table: NDArray[np.float32]
    backward_weights: NDArray[np.float32]
    readout_weights: NDArray[np.float32]
    one: NDArray[np.float32]
    row_weight: NDArray[np.float32]
    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    drawn: NDArray[np.int64]
    row_example: NDArray[np.int64]
    words: NDArray[np.uint32]


def padded(size: int) -> int:
    """The size, rounded up to a multiple of 16."""
    return -(-size // GROUP) * GROUP


def sizes_of(network: Network, positions: int, rows: int) -> Sizes:
    """Sizes of a network run on `positions` inputs, at most `rows` sequences at once."""
    return Sizes(
        network.input_size,
        padded(network.hidden_size),
        network.layers,
        network.output_size,
        padded(network.output_size),
        positions,
        rows,
    )


def aligned(count: int) -> NDArray[np.float32]:
    """Zeros, float32 [count], starting on a cache line, so that no vector straddles two."""
    buffer = np.zeros(count + _CACHE_LINE // 4, dtype=np.float32)
    start = (-buffer.ctypes.data % _CACHE_LINE) // 4
    return buffer[start : start + count]


def new_scratch(sizes: Sizes, batch_size: int) -> Scratch:
    """Working memory for one thread that trains models of these sizes."""
    steps = sizes.positions * sizes.rows
    states = (sizes.positions + 1) * sizes.rows
    integers = [np.zeros(n, dtype=np.int64) for n in (steps, steps, batch_size, batch_size)]
    return Scratch(
        gates=aligned(sizes.layers * steps * 4 * sizes.hidden),
        hidden=aligned(sizes.layers * states * sizes.hidden),
        cell=aligned(sizes.layers * states * sizes.hidden),
        squashed_cell=aligned(sizes.layers * steps * sizes.hidden),
        inputs=aligned(steps * sizes.inputs),
        logits=aligned(steps * sizes.padded_outputs),
        shares=aligned(sizes.padded_outputs),
        output_gradients=aligned(states * 2 * sizes.hidden),
        cell_gradients=aligned(sizes.rows * sizes.hidden),
        gradient=aligned(packed_size(sizes)),
        bias=aligned(sizes.layers * 4 * sizes.hidden),
        table=aligned(sizes.inputs * 4 * sizes.hidden),
        backward_weights=aligned(sizes.layers * 8 * sizes.hidden**2),
        readout_weights=aligned(sizes.hidden * sizes.padded_outputs),
        one=np.ones(1, dtype=np.float32),
        row_weight=np.zeros(batch_size, dtype=np.float32),
        tokens=integers[0],
        targets=integers[1],
        drawn=integers[2],
        row_example=integers[3],
        words=np.zeros(4, dtype=np.uint32),
    )


@njit
def input_rows(sizes, layer):
    """Rows of a layer's transposed input weights: its number of inputs."""
    return sizes.inputs if layer == 0 else sizes.hidden


@njit
def layer_start(sizes, layer):
    """Where a layer's block [inputs + hidden + 2, 4 hidden] starts in the packed parameters.

    Its rows are the transposed input weights, the transposed recurrent weights and the two biases.
    """
    rows = 0 if layer == 0 else sizes.inputs + sizes.hidden + 2 + (layer - 1) * (2 * sizes.hidden + 2)
    return rows * 4 * sizes.hidden


@njit
def readout_start(sizes):
    """Where the read-out starts: weights [outputs, hidden], then the bias [padded_outputs]."""
    return layer_start(sizes, sizes.layers)


@njit
def packed_size(sizes):
    """Length of the packed parameters of one model, a multiple of 16."""
    return readout_start(sizes) + sizes.outputs * sizes.hidden + sizes.padded_outputs


def packed_indices(network: Network) -> NDArray[np.int64]:
    """Where each value of the flat weight vector lies in the packed parameters: int64 [P]."""
    sizes = sizes_of(network, 1, 1)
    width = 4 * sizes.hidden
    unit = np.arange(network.hidden_size)
    gate = np.arange(4)[:, None]
    columns = (unit // GROUP * 4 * GROUP + gate * GROUP + unit % GROUP).ravel()
    parts: dict[str, NDArray[np.int64]] = {}
    for layer in range(network.layers):
        inputs = input_rows(sizes, layer)
        start = layer_start(sizes, layer)
        used = network.input_size if layer == 0 else network.hidden_size
        parts[f"weight_ih_l{layer}"] = start + columns[:, None] + width * np.arange(used)
        parts[f"weight_hh_l{layer}"] = start + columns[:, None] + width * (inputs + unit)
        parts[f"bias_ih_l{layer}"] = start + columns + width * (inputs + sizes.hidden)
        parts[f"bias_hh_l{layer}"] = start + columns + width * (inputs + sizes.hidden + 1)
    output = np.arange(network.output_size)
    start = readout_start(sizes)
    parts["linear.weight"] = start + output[:, None] * sizes.hidden + unit
    parts["linear.bias"] = start + network.output_size * sizes.hidden + output
    return network.flatten(parts)


def pack(network: Network, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flat weights [M, P] -> packed parameters [M, packed_size], rows on cache lines, padding zero."""
    size = packed_size(sizes_of(network, 1, 1))
    packed = aligned(len(weights) * size).reshape(len(weights), size)
    packed[:, packed_indices(network)] = weights
    return packed


def unpack(network: Network, packed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Packed parameters [M, packed_size] -> flat weights [M, P], a copy."""
    return packed[:, packed_indices(network)]
