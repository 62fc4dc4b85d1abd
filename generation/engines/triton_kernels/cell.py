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
    enter = sigmoid(_gate(inputs, output, layer_weights, 0, hidden, width, units, columns, precision))
    forget = sigmoid(_gate(inputs, output, layer_weights, 1, hidden, width, units, columns, precision))
    candidate = tanh(_gate(inputs, output, layer_weights, 2, hidden, width, units, columns, precision))
    leave = sigmoid(_gate(inputs, output, layer_weights, 3, hidden, width, units, columns, precision))
    cell = forget * cell + enter * candidate
    return enter, forget, candidate, leave, cell, leave * tanh(cell)


@triton.jit
def _gate(
    inputs,
    output,
    layer_weights,
    gate: tl.constexpr,
    hidden: tl.constexpr,
    width: tl.constexpr,
    units: tl.constexpr,
    columns: tl.constexpr,
    precision: tl.constexpr,
):
    recurrent = layer_weights + 4 * hidden * width
    matrix = transposed_gate_tile(layer_weights, gate, hidden, width, units, columns)
    result = tl.dot(inputs, matrix, input_precision=precision)
    # Without the barriers the compiler fetches many weights at once and runs out of registers.
    tl.debug_barrier()
    matrix = transposed_gate_tile(recurrent, gate, hidden, hidden, units, units)
    result = tl.dot(output, matrix, acc=result, input_precision=precision)
    tl.debug_barrier()
    return result + gate_bias(recurrent + 4 * hidden * hidden, gate, hidden, units)
