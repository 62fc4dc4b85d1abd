"""Running image models over many images."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.network_step import advance_network, reset_state
from rnnzoo.generation.engines.triton_kernels.read_out import log_softmax, read_out_tiles
from rnnzoo.generation.engines.triton_kernels.tile_inputs import tiles


@triton.jit
def classify_images(
    weights,
    images,
    labels,
    values,
    source_pixels,
    chosen,
    state,
    losses,
    predictions,
    log_probs,
    count: tl.constexpr,
    recorded: tl.constexpr,
    positions: tl.constexpr,
    pixels: tl.constexpr,
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
    """Images of one model per program, `rows` at a time; grid (M, ceil(count / rows)).

    Args:
        weights: float32 [M, stride]; the read-out begins at `read_out`.
        images: uint8 [N, pixels]. labels: uint8 [N]. values: float32 [256].
        source_pixels: int16 [M, positions - 1, inputs]. chosen: int32 [M, count], the images each model sees.
        state: float32 [M, programs, layers, 2, rows, units], scratch.
        losses: float32 [M, count], out: mean cross-entropy over positions.
        predictions: uint8 [M, count], out: argmax at the last position.
        log_probs: float32 [M, recorded, positions, outcomes], out.
    """
    model = tl.program_id(0).to(tl.int64)
    program = model * tl.num_programs(1) + tl.program_id(1)
    row = tl.program_id(1) * rows + tl.arange(0, rows)
    inside = row < count
    model_weights = weights + model * stride
    matrix, bias = read_out_tiles(model_weights + read_out, hidden, outcomes, units, output_columns)
    state += program * layers * 2 * rows * units
    reset_state(state, layers, rows, units)
    image = tl.load(chosen + model * count + row, mask=inside, other=0)
    outcome = tl.arange(0, output_columns)
    hit = outcome[None, :] == tl.load(labels + image).to(tl.int32)[:, None]
    source_pixels += model * (positions - 1) * inputs
    loss = tl.zeros((rows,), tl.float32)
    prediction = tl.zeros((rows,), tl.int32)
    for position in tl.range(positions, num_stages=1, disable_licm=True):
        output = advance_network(
            tiles(images, values, source_pixels, image, position, pixels, inputs, columns),
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
        place = ((model * recorded + row) * positions + position) * outcomes
        tl.store(
            log_probs + place[:, None] + outcome[None, :],
            log_prob,
            mask=(row < recorded)[:, None] & (outcome < outcomes)[None, :],
        )
        loss -= tl.sum(tl.where(hit, log_prob, 0.0), axis=1)
        prediction = tl.argmax(log_prob, axis=1).to(tl.int32)
    tl.store(losses + model * count + row, loss / positions, mask=inside)
    tl.store(predictions + model * count + row, prediction.to(tl.uint8), mask=inside)
