"""One LSTM layer forward through time."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.cell import advance_layer, preactivation, sigmoid, tanh
from rnnzoo.generation.engines.triton_kernels.tiles import ROWS, gate_biases, one_hot, transposed_gate_tiles


@triton.jit
def layer_forward(
    weights,
    inputs,
    table,
    source,
    live,
    gates,
    cells,
    outputs,
    stride: tl.constexpr,
    offset: tl.constexpr,
    hidden: tl.constexpr,
    width: tl.constexpr,
    units: tl.constexpr,
    columns: tl.constexpr,
    rows: tl.constexpr,
    positions: tl.constexpr,
    tokens: tl.constexpr,
    examples: tl.constexpr,
    resident: tl.constexpr,
    precision: tl.constexpr,
):
    """All positions of one layer; grid (M, rows / 16).

    Args:
        weights: float32 [M, stride]; the layer begins at `offset`.
        inputs: float32 [M, T, rows, columns], unless `tokens`: then the inputs are the one-hot tokens of
            table: uint8 [M, examples, T] in the rows that source: int32 [M, rows] names.
        live: int32 [M].
        gates: float32 [M, 4, T, rows, units], out: input, forget_gate, cell and output gate after their nonlinearity.
        cells, outputs: float32 [M, T, rows, units], out.
        hidden, width: units and inputs of the layer; units, columns: the same, padded.
        resident: keep the layer's weights on chip (small layers), else read them again at every position.
        precision: how `tl.dot` multiplies.
    """
    model = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    real = row < tl.load(live + model)
    layer_weights = weights + model * stride + offset
    if resident:
        to_input, to_forget, to_cell, to_output = transposed_gate_tiles(layer_weights, hidden, width, units, columns)
        recurrent = layer_weights + 4 * hidden * width
        back_input, back_forget, back_cell, back_output = transposed_gate_tiles(recurrent, hidden, hidden, units, units)
        bias_input, bias_forget, bias_cell, bias_output = gate_biases(recurrent + 4 * hidden * hidden, hidden, units)
    if tokens:
        example = tl.load(source + model * rows + row, mask=real, other=0)
        text = table + (model * examples + example) * positions
    else:
        input_tile = inputs + model * positions * rows * columns + row[:, None] * columns
        input_tile += tl.arange(0, columns)[None, :]
    tile = model * positions * rows * units + row[:, None] * units + tl.arange(0, units)[None, :]
    gate_tile = tile + model * 3 * positions * rows * units
    gate: tl.constexpr = positions * rows * units
    inside = real[:, None]
    cell = tl.zeros((ROWS, units), tl.float32)
    output = tl.zeros((ROWS, units), tl.float32)
    for position in range(positions):
        if tokens:
            x = one_hot(tl.load(text + position, mask=real, other=0), columns)
        else:
            x = tl.load(input_tile + position * rows * columns, mask=inside, other=0.0)
        if resident:
            input_gate = sigmoid(preactivation(x, output, to_input, back_input, bias_input, precision))
            forget_gate = sigmoid(preactivation(x, output, to_forget, back_forget, bias_forget, precision))
            cell_gate = tanh(preactivation(x, output, to_cell, back_cell, bias_cell, precision))
            output_gate = sigmoid(preactivation(x, output, to_output, back_output, bias_output, precision))
            cell = forget_gate * cell + input_gate * cell_gate
            output = output_gate * tanh(cell)
        else:
            input_gate, forget_gate, cell_gate, output_gate, cell, output = advance_layer(
                x, output, cell, layer_weights, hidden, width, units, columns, precision
            )
        here = position * rows * units
        tl.store(gates + gate_tile + here, input_gate, mask=inside)
        tl.store(gates + gate_tile + gate + here, forget_gate, mask=inside)
        tl.store(gates + gate_tile + 2 * gate + here, cell_gate, mask=inside)
        tl.store(gates + gate_tile + 3 * gate + here, output_gate, mask=inside)
        tl.store(cells + tile + here, cell, mask=inside)
        tl.store(outputs + tile + here, output, mask=inside)
