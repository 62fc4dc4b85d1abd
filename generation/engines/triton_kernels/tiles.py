"""Loading weights and inputs as tiles that `tl.dot` accepts: powers of two, at least 16 a side.

What lies outside the network reads as zero, so padded units stay zero and change nothing.
"""

import triton
import triton.language as tl

ROWS = tl.constexpr(16)
"""Batch rows in a tile of the recurrent kernels: the height of one tensor-core product."""


@triton.jit
def gate_tile(matrix, gate, hidden: tl.constexpr, width: tl.constexpr, units: tl.constexpr, columns: tl.constexpr):
    """One gate of `weight_ih` or `weight_hh` [4 * hidden, width] as it is stored: [units, columns]."""
    unit = tl.arange(0, units)[:, None]
    column = tl.arange(0, columns)[None, :]
    inside = (unit < hidden) & (column < width)
    return tl.load((matrix + gate * hidden * width) + (unit * width + column), mask=inside, other=0.0)


@triton.jit
def gate_tiles(matrix, hidden: tl.constexpr, width: tl.constexpr, units: tl.constexpr, columns: tl.constexpr):
    """The four gates of `weight_ih` or `weight_hh` [4 * hidden, width] as stored: four [units, columns]."""
    return (
        gate_tile(matrix, 0, hidden, width, units, columns),
        gate_tile(matrix, 1, hidden, width, units, columns),
        gate_tile(matrix, 2, hidden, width, units, columns),
        gate_tile(matrix, 3, hidden, width, units, columns),
    )


@triton.jit
def transposed_gate_tile(
    matrix, gate, hidden: tl.constexpr, width: tl.constexpr, units: tl.constexpr, columns: tl.constexpr
):
    """One gate of `weight_ih` or `weight_hh` [4 * hidden, width], transposed: [columns, units]."""
    unit = tl.arange(0, units)[None, :]
    column = tl.arange(0, columns)[:, None]
    inside = (unit < hidden) & (column < width)
    return tl.load((matrix + gate * hidden * width) + (unit * width + column), mask=inside, other=0.0)


@triton.jit
def transposed_gate_tiles(
    matrix, hidden: tl.constexpr, width: tl.constexpr, units: tl.constexpr, columns: tl.constexpr
):
    """The four gates of `weight_ih` or `weight_hh` [4 * hidden, width], transposed: four [columns, units]."""
    return (
        transposed_gate_tile(matrix, 0, hidden, width, units, columns),
        transposed_gate_tile(matrix, 1, hidden, width, units, columns),
        transposed_gate_tile(matrix, 2, hidden, width, units, columns),
        transposed_gate_tile(matrix, 3, hidden, width, units, columns),
    )


@triton.jit
def gate_bias(biases, gate, hidden: tl.constexpr, units: tl.constexpr):
    """Sum of one gate's `bias_ih` and `bias_hh`, which lie one after the other: [1, units]."""
    unit = tl.arange(0, units)
    inside = unit < hidden
    input_bias = tl.load(biases + gate * hidden + unit, mask=inside, other=0.0)
    hidden_bias = tl.load(biases + (4 + gate) * hidden + unit, mask=inside, other=0.0)
    return (input_bias + hidden_bias)[None, :]


@triton.jit
def gate_biases(biases, hidden: tl.constexpr, units: tl.constexpr):
    """The summed biases of the four gates: four [1, units]."""
    return (
        gate_bias(biases, 0, hidden, units),
        gate_bias(biases, 1, hidden, units),
        gate_bias(biases, 2, hidden, units),
        gate_bias(biases, 3, hidden, units),
    )


@triton.jit
def one_hot(tokens, columns: tl.constexpr):
    """Tokens [rows] as one-hot vectors, float32 [rows, columns]."""
    return (tokens.to(tl.int32)[:, None] == tl.arange(0, columns)[None, :]).to(tl.float32)
