"""The LSTM cell: sigmoid and tanh from one exponential each, and one step of one layer."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.tiles import gate_bias, transposed_gate_tile


@triton.jit
def sigmoid(x):
    """1 / (1 + e^-x), elementwise."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def tanh(x):
    """Hyperbolic tangent, elementwise: absolute error about 1e-7, exactly +-1 at the far ends."""
    return 1.0 - 2.0 / (1.0 + tl.exp(2.0 * x))


@triton.jit
def preactivation(inputs, output, input_weights, recurrent_weights, bias, precision: tl.constexpr):
    """One gate before its nonlinearity, [rows, units]: inputs [rows, columns] and the previous output [rows, units]."""
    projected = tl.dot(inputs, input_weights, input_precision=precision)
    return tl.dot(output, recurrent_weights, acc=projected, input_precision=precision) + bias


@triton.jit
def advance_layer(
    inputs,
    output,
    cell,
    layer_weights,
    hidden: tl.constexpr,
    width: tl.constexpr,
    units: tl.constexpr,
    columns: tl.constexpr,
    precision: tl.constexpr,
):
    """One step of one layer with its weights read on the spot: the four gates, the new cell and output [rows, units].

    `layer_weights` points at the layer's `weight_ih`, which `weight_hh` and the two biases follow.
    """
    input_gate, forget_gate, cell_gate, output_gate = project(
        inputs, layer_weights, hidden, width, units, columns, precision
    )
    recurrent = layer_weights + 4 * hidden * width
    input_gate = sigmoid(complete_gate(input_gate, output, recurrent, 0, hidden, units, precision))
    forget_gate = sigmoid(complete_gate(forget_gate, output, recurrent, 1, hidden, units, precision))
    cell_gate = tanh(complete_gate(cell_gate, output, recurrent, 2, hidden, units, precision))
    output_gate = sigmoid(complete_gate(output_gate, output, recurrent, 3, hidden, units, precision))
    cell = forget_gate * cell + input_gate * cell_gate
    return input_gate, forget_gate, cell_gate, output_gate, cell, output_gate * tanh(cell)


@triton.jit
def project(
    inputs,
    matrix,
    hidden: tl.constexpr,
    width: tl.constexpr,
    units: tl.constexpr,
    columns: tl.constexpr,
    precision: tl.constexpr,
):
    """The part of the four gates that comes from the inputs [rows, columns], read from `weight_ih` on the spot."""
    zero = tl.zeros((inputs.shape[0], units), tl.float32)
    input_gate = _add_product(zero, inputs, matrix, 0, hidden, width, units, columns, precision)
    forget_gate = _add_product(zero, inputs, matrix, 1, hidden, width, units, columns, precision)
    cell_gate = _add_product(zero, inputs, matrix, 2, hidden, width, units, columns, precision)
    output_gate = _add_product(zero, inputs, matrix, 3, hidden, width, units, columns, precision)
    return input_gate, forget_gate, cell_gate, output_gate


@triton.jit
def complete_gate(
    projected,
    output,
    matrix,
    gate: tl.constexpr,
    hidden: tl.constexpr,
    units: tl.constexpr,
    precision: tl.constexpr,
):
    """One gate before its nonlinearity, from its part in `project`, the previous output [rows, units] and `weight_hh`.

    `matrix` points at `weight_hh`, which the two biases follow.
    """
    total = _add_product(projected, output, matrix, gate, hidden, hidden, units, units, precision)
    return total + gate_bias(matrix + 4 * hidden * hidden, gate, hidden, units)


@triton.jit
def _add_product(
    total,
    factor,
    matrix,
    gate: tl.constexpr,
    hidden: tl.constexpr,
    width: tl.constexpr,
    units: tl.constexpr,
    columns: tl.constexpr,
    precision: tl.constexpr,
):
    weights = transposed_gate_tile(matrix, gate, hidden, width, units, columns)
    total = tl.dot(factor, weights, acc=total, input_precision=precision)
    # Without the barrier the compiler fetches the weights of many gates at once and runs out of registers.
    tl.debug_barrier()
    return total
