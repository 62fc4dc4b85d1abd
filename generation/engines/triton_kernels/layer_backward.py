"""One LSTM layer backward through time: from the gradient of its outputs to that of its pre-activations."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.cell import tanh
from rnnzoo.generation.engines.triton_kernels.tiles import ROWS, gate_tiles
from rnnzoo.generation.engines.triton_kernels.tiles import gate_tile as load_gate


@triton.jit
def layer_backward(
    weights,
    live,
    gates,
    cells,
    output_gradients,
    stride: tl.constexpr,
    recurrent_offset: tl.constexpr,
    hidden: tl.constexpr,
    units: tl.constexpr,
    rows: tl.constexpr,
    positions: tl.constexpr,
    resident: tl.constexpr,
    precision: tl.constexpr,
):
    """All positions of one layer, last to first; grid (M, rows / 16).

    Args:
        weights: float32 [M, stride]; the layer's `weight_hh` begins at `recurrent_offset`.
        live: int32 [M].
        gates: float32 [M, 4, T, rows, units]; in: the gates, out: gradients of their pre-activations.
        cells: float32 [M, T, rows, units].
        output_gradients: float32 [M, T, rows, units], gradient of the layer's outputs from the layer above.
        hidden, units: units of the layer, and padded. resident, precision: as for `layer_forward`.
    """
    model = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    inside = (row < tl.load(live + model))[:, None]
    recurrent = weights + model * stride + recurrent_offset
    if resident:
        back_input, back_forget, back_cell, back_output = gate_tiles(recurrent, hidden, hidden, units, units)
    tile = model * positions * rows * units + row[:, None] * units + tl.arange(0, units)[None, :]
    gate_tile = tile + model * 3 * positions * rows * units
    gate: tl.constexpr = positions * rows * units
    output_gradient = tl.zeros((ROWS, units), tl.float32)
    cell_gradient = tl.zeros((ROWS, units), tl.float32)
    cell = tl.load(cells + tile + (positions - 1) * rows * units, mask=inside, other=0.0)
    for back in range(positions):
        position = positions - 1 - back
        here = position * rows * units
        earlier = (position * rows + row >= rows)[:, None]
        input_gate = tl.load(gates + gate_tile + here, mask=inside, other=0.0)
        forget_gate = tl.load(gates + gate_tile + gate + here, mask=inside, other=0.0)
        cell_gate = tl.load(gates + gate_tile + 2 * gate + here, mask=inside, other=0.0)
        output_gate = tl.load(gates + gate_tile + 3 * gate + here, mask=inside, other=0.0)
        previous = tl.load(cells + tile + here - rows * units, mask=inside & earlier, other=0.0)
        output_gradient += tl.load(output_gradients + tile + here, mask=inside, other=0.0)
        squashed = tanh(cell)
        cell_gradient += output_gradient * output_gate * (1.0 - squashed * squashed)
        d_input_gate = cell_gradient * cell_gate * input_gate * (1.0 - input_gate)
        d_forget_gate = cell_gradient * previous * forget_gate * (1.0 - forget_gate)
        d_cell_gate = cell_gradient * input_gate * (1.0 - cell_gate * cell_gate)
        d_output_gate = output_gradient * squashed * output_gate * (1.0 - output_gate)
        cell_gradient = cell_gradient * forget_gate
        cell = previous
        if resident:
            output_gradient = tl.dot(d_input_gate, back_input, input_precision=precision)
            output_gradient = tl.dot(d_forget_gate, back_forget, acc=output_gradient, input_precision=precision)
            output_gradient = tl.dot(d_cell_gate, back_cell, acc=output_gradient, input_precision=precision)
            output_gradient = tl.dot(d_output_gate, back_output, acc=output_gradient, input_precision=precision)
        else:
            output_gradient = tl.zeros((ROWS, units), tl.float32)
            output_gradient = _through_gate(output_gradient, d_input_gate, recurrent, 0, hidden, units, precision)
            output_gradient = _through_gate(output_gradient, d_forget_gate, recurrent, 1, hidden, units, precision)
            output_gradient = _through_gate(output_gradient, d_cell_gate, recurrent, 2, hidden, units, precision)
            output_gradient = _through_gate(output_gradient, d_output_gate, recurrent, 3, hidden, units, precision)
        tl.store(gates + gate_tile + here, d_input_gate, mask=inside)
        tl.store(gates + gate_tile + gate + here, d_forget_gate, mask=inside)
        tl.store(gates + gate_tile + 2 * gate + here, d_cell_gate, mask=inside)
        tl.store(gates + gate_tile + 3 * gate + here, d_output_gate, mask=inside)


@triton.jit
def _through_gate(
    total,
    gradient,
    recurrent,
    gate: tl.constexpr,
    hidden: tl.constexpr,
    units: tl.constexpr,
    precision: tl.constexpr,
):
    matrix = load_gate(recurrent, gate, hidden, hidden, units, units)
    total = tl.dot(gradient, matrix, acc=total, input_precision=precision)
    # Without the barrier the compiler fetches the weights of all gates at once, which do not fit.
    tl.debug_barrier()
    return total
