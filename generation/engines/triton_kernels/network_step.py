"""One position of a whole network, its state kept in device memory between positions."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.cell import complete_gate, project, sigmoid, tanh


@triton.jit
def reset_state(state, layers: tl.constexpr, rows: tl.constexpr, units: tl.constexpr):
    """Set a program's state, float32 [layers, 2, rows, units] (outputs, cells), to zero."""
    tile = tl.arange(0, rows)[:, None] * units + tl.arange(0, units)[None, :]
    for part in tl.static_range(2 * layers):
        tl.store(state + part * rows * units + tile, tl.zeros((rows, units), tl.float32))
    tl.debug_barrier()


@triton.jit
def advance_network(
    x,
    state,
    model_weights,
    layers: tl.constexpr,
    inputs: tl.constexpr,
    hidden: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    units: tl.constexpr,
    precision: tl.constexpr,
):
    """Output of the top layer [rows, units] for one position's inputs x [rows, columns]; `state` is updated.

    Programs that use this must be compiled without software pipelining (num_stages=1): a position reads
    what the position before has written.
    """
    tile = tl.arange(0, rows)[:, None] * units + tl.arange(0, units)[None, :]
    x = _advance_one(x, state + tile, model_weights, hidden, inputs, rows, columns, units, precision)
    for layer in tl.static_range(1, layers):
        below = 4 * hidden * (inputs + hidden + 2) + (layer - 1) * 8 * hidden * (hidden + 1)
        x = _advance_one(
            x,
            state + layer * 2 * rows * units + tile,
            model_weights + below,
            hidden,
            hidden,
            rows,
            units,
            units,
            precision,
        )
    tl.debug_barrier()
    return x


@triton.jit
def _advance_one(
    x,
    place,
    layer_weights,
    hidden: tl.constexpr,
    width: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    units: tl.constexpr,
    precision: tl.constexpr,
):
    input_gate, forget_gate, cell_gate, output_gate = project(
        x, layer_weights, hidden, width, units, columns, precision
    )
    # The state is read, and the gates are combined, as late as can be: registers are short. Every read of the state
    # comes before a barrier of `complete_gate` that its overwriting comes after.
    output = tl.load(place)
    recurrent = layer_weights + 4 * hidden * width
    input_gate = sigmoid(complete_gate(input_gate, output, recurrent, 0, hidden, units, precision))
    cell_gate = tanh(complete_gate(cell_gate, output, recurrent, 2, hidden, units, precision))
    written = input_gate * cell_gate
    forget_gate = sigmoid(complete_gate(forget_gate, output, recurrent, 1, hidden, units, precision))
    cell = forget_gate * tl.load(place + rows * units) + written
    output_gate = sigmoid(complete_gate(output_gate, output, recurrent, 3, hidden, units, precision))
    output = output_gate * tanh(cell)
    tl.store(place, output)
    tl.store(place + rows * units, cell)
    return output
