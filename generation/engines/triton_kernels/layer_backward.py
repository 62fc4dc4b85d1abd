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
        back_input, back_forget, back_candidate, back_output = gate_tiles(recurrent, hidden, hidden, units, units)
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
        enter = tl.load(gates + gate_tile + here, mask=inside, other=0.0)
        forget = tl.load(gates + gate_tile + gate + here, mask=inside, other=0.0)
        candidate = tl.load(gates + gate_tile + 2 * gate + here, mask=inside, other=0.0)
        leave = tl.load(gates + gate_tile + 3 * gate + here, mask=inside, other=0.0)
        previous = tl.load(cells + tile + here - rows * units, mask=inside & earlier, other=0.0)
        output_gradient += tl.load(output_gradients + tile + here, mask=inside, other=0.0)
        squashed = tanh(cell)
        cell_gradient += output_gradient * leave * (1.0 - squashed * squashed)
        d_enter = cell_gradient * candidate * enter * (1.0 - enter)
        d_forget = cell_gradient * previous * forget * (1.0 - forget)
        d_candidate = cell_gradient * enter * (1.0 - candidate * candidate)
        d_leave = output_gradient * squashed * leave * (1.0 - leave)
        cell_gradient = cell_gradient * forget
        cell = previous
        if resident:
            output_gradient = tl.dot(d_enter, back_input, input_precision=precision)
            output_gradient = tl.dot(d_forget, back_forget, acc=output_gradient, input_precision=precision)
            output_gradient = tl.dot(d_candidate, back_candidate, acc=output_gradient, input_precision=precision)
            output_gradient = tl.dot(d_leave, back_output, acc=output_gradient, input_precision=precision)
        else:
            output_gradient = tl.zeros((ROWS, units), tl.float32)
            output_gradient = _through_gate(output_gradient, d_enter, recurrent, 0, hidden, units, precision)
            output_gradient = _through_gate(output_gradient, d_forget, recurrent, 1, hidden, units, precision)
            output_gradient = _through_gate(output_gradient, d_candidate, recurrent, 2, hidden, units, precision)
            output_gradient = _through_gate(output_gradient, d_leave, recurrent, 3, hidden, units, precision)
        tl.store(gates + gate_tile + here, d_enter, mask=inside)
        tl.store(gates + gate_tile + gate + here, d_forget, mask=inside)
        tl.store(gates + gate_tile + 2 * gate + here, d_candidate, mask=inside)
        tl.store(gates + gate_tile + 3 * gate + here, d_leave, mask=inside)


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
