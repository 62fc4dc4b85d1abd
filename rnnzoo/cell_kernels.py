"""An LSTM cell in one launch, forward and backward, in Triton; the same numbers as in `rnnzoo.lstm_cells`.

Tensors are [M, N, ...], contiguous along the last axis; strides of the other two count numbers. `count` is M N H,
`rows` is N.
"""

import triton
import triton.language as tl


@triton.jit
def advance(
    gates,
    cell,
    new_cell,
    squashed,
    output,
    gates_model,
    gates_row,
    cell_model,
    cell_row,
    new_cell_model,
    new_cell_row,
    squashed_model,
    squashed_row,
    output_model,
    output_row,
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
    gate = gates + model * gates_model + row * gates_row + unit
    enter = tl.sigmoid(tl.load(gate, mask=inside, other=0.0))
    forget = tl.sigmoid(tl.load(gate + hidden, mask=inside, other=0.0))
    candidate = 2 * tl.sigmoid(tl.load(gate + 2 * hidden, mask=inside, other=0.0)) - 1
    leave = tl.sigmoid(tl.load(gate + 3 * hidden, mask=inside, other=0.0))
    before = tl.load(cell + model * cell_model + row * cell_row + unit, mask=inside, other=0.0)
    after = enter * candidate + forget * before
    flat = 2 * tl.sigmoid(2 * after) - 1
    tl.store(gate, enter, mask=inside)
    tl.store(gate + hidden, forget, mask=inside)
    tl.store(gate + 2 * hidden, candidate, mask=inside)
    tl.store(gate + 3 * hidden, leave, mask=inside)
    tl.store(new_cell + model * new_cell_model + row * new_cell_row + unit, after, mask=inside)
    tl.store(squashed + model * squashed_model + row * squashed_row + unit, flat, mask=inside)
    tl.store(output + model * output_model + row * output_row + unit, leave * flat, mask=inside)


@triton.jit
def retreat(
    gates,
    cell,
    squashed,
    d_output,
    d_cell,
    d_before,
    d_gates,
    gates_model,
    gates_row,
    cell_model,
    cell_row,
    squashed_model,
    squashed_row,
    d_output_model,
    d_output_row,
    d_cell_model,
    d_cell_row,
    d_before_model,
    d_before_row,
    d_gates_model,
    d_gates_row,
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
    gate = gates + model * gates_model + row * gates_row + unit
    enter = tl.load(gate, mask=inside, other=0.0)
    forget = tl.load(gate + hidden, mask=inside, other=0.0)
    candidate = tl.load(gate + 2 * hidden, mask=inside, other=0.0)
    leave = tl.load(gate + 3 * hidden, mask=inside, other=0.0)
    before = tl.load(cell + model * cell_model + row * cell_row + unit, mask=inside, other=0.0)
    flat = tl.load(squashed + model * squashed_model + row * squashed_row + unit, mask=inside, other=0.0)
    by_output = tl.load(d_output + model * d_output_model + row * d_output_row + unit, mask=inside, other=0.0)
    by_cell = tl.load(d_cell + model * d_cell_model + row * d_cell_row + unit, mask=inside, other=0.0)
    by_cell += by_output * leave * (1 - flat * flat)
    d_gate = d_gates + model * d_gates_model + row * d_gates_row + unit
    tl.store(d_gate, enter * (1 - enter) * candidate * by_cell, mask=inside)
    tl.store(d_gate + hidden, forget * (1 - forget) * before * by_cell, mask=inside)
    # Half the slope of tanh, since the gate input is doubled.
    tl.store(d_gate + 2 * hidden, 0.5 * enter * (1 - candidate * candidate) * by_cell, mask=inside)
    tl.store(d_gate + 3 * hidden, leave * (1 - leave) * flat * by_output, mask=inside)
    tl.store(d_before + model * d_before_model + row * d_before_row + unit, by_cell * forget, mask=inside)
