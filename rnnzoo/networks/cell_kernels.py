"""An LSTM cell in one launch, forward and backward, in Triton; the same numbers as in `rnnzoo.networks.lstm_cells`.

A tensor is [M, N, ...], contiguous along the last axis, and comes as a tuple: the address of its first number and the
strides of the other two axes, in numbers. `count` is M N H, `rows` is N.
"""

import triton
import triton.language as tl


@triton.jit
def _row_of(tensor, model, row):
    """Addresses of rows of a tensor."""
    start, model_stride, row_stride = tensor
    return start + model * model_stride + row * row_stride


@triton.jit
def cell_forward(
    gates,
    cell,
    new_cell,
    tanh_cell,
    output,
    count,
    rows,
    hidden: tl.constexpr,
    block: tl.constexpr,
):
    """Gate inputs become activations, the cell before becomes the new one; grid (ceil(count / block),)."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < count
    unit, row = at % hidden, at // hidden % rows
    model = at // hidden // rows
    gate = _row_of(gates, model, row) + unit
    input_gate = tl.sigmoid(tl.load(gate, mask=inside, other=0.0))
    forget_gate = tl.sigmoid(tl.load(gate + hidden, mask=inside, other=0.0))
    cell_gate = 2 * tl.sigmoid(tl.load(gate + 2 * hidden, mask=inside, other=0.0)) - 1
    output_gate = tl.sigmoid(tl.load(gate + 3 * hidden, mask=inside, other=0.0))
    before = tl.load(_row_of(cell, model, row) + unit, mask=inside, other=0.0)
    after = input_gate * cell_gate + forget_gate * before
    tanh_after = 2 * tl.sigmoid(2 * after) - 1
    tl.store(gate, input_gate, mask=inside)
    tl.store(gate + hidden, forget_gate, mask=inside)
    tl.store(gate + 2 * hidden, cell_gate, mask=inside)
    tl.store(gate + 3 * hidden, output_gate, mask=inside)
    tl.store(_row_of(new_cell, model, row) + unit, after, mask=inside)
    tl.store(_row_of(tanh_cell, model, row) + unit, tanh_after, mask=inside)
    tl.store(_row_of(output, model, row) + unit, output_gate * tanh_after, mask=inside)


@triton.jit
def cell_backward(
    gates,
    cell,
    tanh_cell,
    d_output,
    d_cell,
    d_before,
    d_gates,
    count,
    rows,
    hidden: tl.constexpr,
    block: tl.constexpr,
):
    """Gradients of the gate inputs and of the cell before, which may overwrite d_cell; grid as above."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < count
    unit, row = at % hidden, at // hidden % rows
    model = at // hidden // rows
    gate = _row_of(gates, model, row) + unit
    input_gate = tl.load(gate, mask=inside, other=0.0)
    forget_gate = tl.load(gate + hidden, mask=inside, other=0.0)
    cell_gate = tl.load(gate + 2 * hidden, mask=inside, other=0.0)
    output_gate = tl.load(gate + 3 * hidden, mask=inside, other=0.0)
    before = tl.load(_row_of(cell, model, row) + unit, mask=inside, other=0.0)
    tanh_after = tl.load(_row_of(tanh_cell, model, row) + unit, mask=inside, other=0.0)
    d_out = tl.load(_row_of(d_output, model, row) + unit, mask=inside, other=0.0)
    d_after = tl.load(_row_of(d_cell, model, row) + unit, mask=inside, other=0.0)
    d_after += d_out * output_gate * (1 - tanh_after * tanh_after)
    d_gate = _row_of(d_gates, model, row) + unit
    tl.store(d_gate, input_gate * (1 - input_gate) * cell_gate * d_after, mask=inside)
    tl.store(d_gate + hidden, forget_gate * (1 - forget_gate) * before * d_after, mask=inside)
    # Half the slope of tanh, since the gate input is doubled.
    tl.store(d_gate + 2 * hidden, 0.5 * input_gate * (1 - cell_gate * cell_gate) * d_after, mask=inside)
    tl.store(d_gate + 3 * hidden, output_gate * (1 - output_gate) * tanh_after * d_out, mask=inside)
    tl.store(_row_of(d_before, model, row) + unit, d_after * forget_gate, mask=inside)
