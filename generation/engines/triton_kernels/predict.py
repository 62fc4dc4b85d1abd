"""Running token models over many rows of tokens."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.network_step import advance_network, reset_state
from rnnzoo.generation.engines.triton_kernels.read_out import log_softmax, read_out_tiles
from rnnzoo.generation.engines.triton_kernels.tiles import one_hot


@triton.jit
def predict_tokens(
    weights,
    tokens,
    state,
    log_probs,
    count: tl.constexpr,
    positions: tl.constexpr,
    stride: tl.constexpr,
    read_out: tl.constexpr,
    layers: tl.constexpr,
    inputs: tl.constexpr,
    hidden: tl.constexpr,
    outcomes: tl.constexpr,
    units: tl.constexpr,
    columns: tl.constexpr,
    output_columns: tl.constexpr,
    rows: tl.constexpr,
    precision: tl.constexpr,
):
    """Rows of tokens of one model per program, `rows` at a time; grid (M, ceil(count / rows)).

    Args:
        weights: float32 [M, stride]; the read-out begins at `read_out`.
        tokens: uint8 [M, count, positions].
        state: float32 [M, programs, layers, 2, rows, units], scratch.
        log_probs: float32 [M, count, positions, outcomes], out.
    """
    model = tl.program_id(0).to(tl.int64)
    program = model * tl.num_programs(1) + tl.program_id(1)
    row = tl.program_id(1) * rows + tl.arange(0, rows)
    inside = row < count
    model_weights = weights + model * stride
    matrix, bias = read_out_tiles(model_weights + read_out, hidden, outcomes, units, output_columns)
    state += program * layers * 2 * rows * units
    reset_state(state, layers, rows, units)
    outcome = tl.arange(0, output_columns)
    text = (model * count + row) * positions
    for position in tl.range(positions, num_stages=1, disable_licm=True):
        output = advance_network(
            one_hot(tl.load(tokens + text + position, mask=inside, other=0), columns),
            state,
            model_weights,
            layers,
            inputs,
            hidden,
            rows,
            columns,
            units,
            precision,
        )
        logits = tl.dot(output, tl.trans(matrix), input_precision=precision) + bias
        tl.store(
            log_probs + (text + position)[:, None] * outcomes + outcome[None, :],
            log_softmax(logits, outcomes, output_columns),
            mask=inside[:, None] & (outcome < outcomes)[None, :],
        )
