"""Sampling token strings from language models."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.batch_draw import words
from rnnzoo.generation.engines.triton_kernels.network_step import advance_network, reset_state
from rnnzoo.generation.engines.triton_kernels.read_out import log_softmax, read_out_tiles
from rnnzoo.generation.engines.triton_kernels.tiles import one_hot


@triton.jit
def sample_strings(
    weights,
    seed,
    step,
    model_ids,
    state,
    tokens,
    log_probs,
    purpose: tl.constexpr,
    start: tl.constexpr,
    rollouts: tl.constexpr,
    recorded: tl.constexpr,
    length: tl.constexpr,
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
    """Strings of one model per program, `rows` at a time; grid (M, ceil(rollouts / rows)).

    Args:
        weights: float32 [M, stride]; the read-out begins at `read_out`. seed: int64 [1].
        step: int32 [1], the snapshot's. model_ids: int32 [M], bit patterns of uint32.
        state: float32 [M, programs, layers, 2, rows, units], scratch.
        tokens: uint8 [M, rollouts, length], out.
        log_probs: float32 [M, recorded, length - 1, outcomes], out.
        purpose: stream of random words. start: first token of every string.
    """
    model = tl.program_id(0).to(tl.int64)
    program = model * tl.num_programs(1) + tl.program_id(1)
    row = tl.program_id(1) * rows + tl.arange(0, rows)
    inside = row < rollouts
    model_weights = weights + model * stride
    matrix, bias = read_out_tiles(model_weights + read_out, hidden, outcomes, units, output_columns)
    state += program * layers * 2 * rows * units
    reset_state(state, layers, rows, units)
    outcome = tl.arange(0, output_columns)
    key = tl.load(seed)
    now = tl.load(step)
    model_id = tl.load(model_ids + model)
    blocks_per_string: tl.constexpr = (length - 1 + 3) // 4
    text = tokens + (model * rollouts + row) * length
    token = tl.full((rows,), start, tl.int32)
    tl.store(text, token.to(tl.uint8), mask=inside)
    for position in tl.range(length - 1, num_stages=1, disable_licm=True):
        output = advance_network(
            one_hot(token, columns),
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
        log_prob = log_softmax(logits, outcomes, output_columns)
        place = ((model * recorded + row) * (length - 1) + position) * outcomes
        tl.store(
            log_probs + place[:, None] + outcome[None, :],
            log_prob,
            mask=(row < recorded)[:, None] & (outcome < outcomes)[None, :],
        )
        lane_0, lane_1, lane_2, lane_3 = words(key, model_id, purpose, now, row * blocks_per_string + position // 4)
        lane = position % 4
        word = tl.where(lane == 0, lane_0, tl.where(lane == 1, lane_1, tl.where(lane == 2, lane_2, lane_3)))
        uniform = (word >> 8).to(tl.int32).to(tl.float32) * (2.0**-24)
        below = (tl.cumsum(tl.exp(log_prob), axis=1) <= uniform[:, None]) & (outcome < outcomes)[None, :]
        token = tl.minimum(tl.sum(below.to(tl.int32), axis=1), outcomes - 1)
        tl.store(text + position + 1, token.to(tl.uint8), mask=inside)
