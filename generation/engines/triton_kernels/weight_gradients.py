"""Gradients of one layer's weights and biases, summed over all rows and positions on chip."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.tiles import one_hot


@triton.jit
def weight_gradients(
    inputs,
    table,
    source,
    live,
    preactivation_gradients,
    outputs,
    gradients,
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
    block: tl.constexpr,
    chunk: tl.constexpr,
    precision: tl.constexpr,
):
    """A block of one gate's units per program; grid (4 * units / block, M).

    Args:
        inputs, table, source, live, hidden, width, units, columns, tokens, precision: as for `layer_forward`.
        preactivation_gradients: float32 [M, 4, T, rows, units]. outputs: float32 [M, T, rows, units].
        gradients: float32 [M, stride]; the layer's part, from `offset`, is written.
        block: units per program. chunk: rows per step of the sum.
    """
    blocks: tl.constexpr = units // block
    gate = tl.program_id(0) // blocks
    first_unit = (tl.program_id(0) % blocks) * block
    model = tl.program_id(1).to(tl.int64)
    real = tl.load(live + model)
    total: tl.constexpr = positions * rows
    inputs += model * total * columns
    outputs += model * total * units
    preactivation_gradients += (model * 4 + gate) * total * units
    unit = first_unit + tl.arange(0, block)
    column = tl.arange(0, columns)
    below = tl.arange(0, units)
    input_sum = tl.zeros((block, columns), tl.float32)
    recurrent_sum = tl.zeros((block, units), tl.float32)
    bias_sum = tl.zeros((block,), tl.float32)
    for first in range(0, total, chunk):
        index = first + tl.arange(0, chunk)
        row = index % rows
        inside = (index < total) & (row < real)
        gradient = tl.load(
            preactivation_gradients + index[None, :] * units + unit[:, None], mask=inside[None, :], other=0.0
        )
        previous = tl.load(
            outputs + (index - rows)[:, None] * units + below[None, :],
            mask=(inside & (index >= rows))[:, None],
            other=0.0,
        )
        recurrent_sum = tl.dot(gradient, previous, acc=recurrent_sum, input_precision=precision)
        if tokens:
            example = tl.load(source + model * rows + row, mask=inside, other=0)
            text = table + (model * examples + example) * positions + index // rows
            x = one_hot(tl.load(text, mask=inside, other=0), columns)
        else:
            x = tl.load(inputs + index[:, None] * columns + column[None, :], mask=inside[:, None], other=0.0)
        input_sum = tl.dot(gradient, x, acc=input_sum, input_precision=precision)
        bias_sum += tl.sum(gradient, axis=1)
    gradients += model * stride + offset
    weight_row = gate * hidden + unit
    unit_inside = (unit < hidden)[:, None]
    tl.store(
        gradients + weight_row[:, None] * width + column[None, :],
        input_sum,
        mask=unit_inside & (column < width)[None, :],
    )
    tl.store(
        gradients + 4 * hidden * width + weight_row[:, None] * hidden + below[None, :],
        recurrent_sum,
        mask=unit_inside & (below < hidden)[None, :],
    )
    biases = gradients + 4 * hidden * (width + hidden) + weight_row
    tl.store(biases, bias_sum, mask=unit < hidden)
    tl.store(biases + 4 * hidden, bias_sum, mask=unit < hidden)
