"""The linear read-out, softmax cross-entropy, and their gradients."""

import triton
import triton.language as tl


@triton.jit
def read_out_tiles(read_out, hidden: tl.constexpr, outcomes: tl.constexpr, units: tl.constexpr, columns: tl.constexpr):
    """`linear.weight` [outcomes, hidden] as [columns, units], and `linear.bias`, which follows it, as [1, columns]."""
    column = tl.arange(0, columns)
    unit = tl.arange(0, units)
    inside = (column < outcomes)[:, None] & (unit < hidden)[None, :]
    matrix = tl.load(read_out + column[:, None] * hidden + unit[None, :], mask=inside, other=0.0)
    bias = tl.load(read_out + outcomes * hidden + column, mask=column < outcomes, other=0.0)
    return matrix, bias[None, :]


@triton.jit
def log_softmax(logits, outcomes: tl.constexpr, columns: tl.constexpr):
    """Log-probabilities of [rows, columns] logits, of which the first `outcomes` count; the rest are -infinity."""
    real = (tl.arange(0, columns) < outcomes)[None, :]
    logits = tl.where(real, logits, -float("inf"))
    shifted = logits - tl.max(logits, axis=1)[:, None]
    return shifted - tl.log(tl.sum(tl.exp(shifted), axis=1))[:, None]


@triton.jit
def read_out_and_loss(
    weights,
    outputs,
    targets,
    wanted,
    labels,
    source,
    weight,
    live,
    gradients,
    output_gradients,
    losses,
    stride: tl.constexpr,
    offset: tl.constexpr,
    hidden: tl.constexpr,
    outcomes: tl.constexpr,
    units: tl.constexpr,
    columns: tl.constexpr,
    rows: tl.constexpr,
    positions: tl.constexpr,
    tokens: tl.constexpr,
    examples: tl.constexpr,
    batch: tl.constexpr,
    chunk: tl.constexpr,
    precision: tl.constexpr,
):
    """Mean cross-entropy over the positions with a target of a weighted batch, with gradients; grid (M,).

    Args:
        weights: float32 [M, stride]; the read-out begins at `offset`.
        outputs: float32 [M, T, rows, units] of the top layer.
        targets: int16 [M, examples, T], negative where there is none; wanted: int32 [M, examples], how many there
            are; both with `tokens`.
        labels: uint8 [N]; without, the target is the label of the row's image at every position.
        source: int32 [M, rows]. weight: float32 [M, rows], share of the batch. live: int32 [M].
        gradients: float32 [M, stride], the read-out's part is written.
        output_gradients: float32 [M, T, rows, units], out. losses: float32 [M], out.
        hidden, outcomes: units and classes; units, columns: padded. batch: draws. chunk: rows per step.
    """
    model = tl.program_id(0).to(tl.int64)
    real = tl.load(live + model)
    total: tl.constexpr = positions * rows
    matrix, bias = read_out_tiles(weights + model * stride + offset, hidden, outcomes, units, columns)
    column = tl.arange(0, columns)
    unit = tl.arange(0, units)
    matrix_sum = tl.zeros((columns, units), tl.float32)
    bias_sum = tl.zeros((columns,), tl.float32)
    loss = tl.zeros((chunk,), tl.float32)
    if tokens:
        targets_wanted = _targets_of_batch(wanted + model * examples, source, weight, model * rows, real, rows, batch)
        positions_per_target = tl.div_rn(1.0 * batch * positions, tl.maximum(targets_wanted, 1).to(tl.float32))
    for first in range(0, total, chunk):
        index = first + tl.arange(0, chunk)
        row = index % rows
        inside = (index < total) & (row < real)
        tile = model * total * units + index[:, None] * units + unit[None, :]
        output = tl.load(outputs + tile, mask=inside[:, None], other=0.0)
        log_probs = log_softmax(tl.dot(output, tl.trans(matrix), input_precision=precision) + bias, outcomes, columns)
        example = tl.load(source + model * rows + row, mask=inside, other=0)
        if tokens:
            place = (model * examples + example) * positions + index // rows
            target = tl.load(targets + place, mask=inside, other=-1).to(tl.int32)
        else:
            target = tl.load(labels + example, mask=inside, other=0).to(tl.int32)
        hit = column[None, :] == target[:, None]
        share = tl.load(weight + model * rows + row, mask=inside, other=0.0) / positions
        if tokens:
            # Exactly 1 where every position has a target.
            share = tl.where(target >= 0, share * positions_per_target, 0.0)
        loss -= tl.where(share > 0, share * tl.sum(tl.where(hit, log_probs, 0.0), axis=1), 0.0)
        gradient = share[:, None] * (tl.exp(log_probs) - hit.to(tl.float32))
        tl.store(output_gradients + tile, tl.dot(gradient, matrix, input_precision=precision), mask=inside[:, None])
        matrix_sum = tl.dot(tl.trans(gradient), output, acc=matrix_sum, input_precision=precision)
        bias_sum += tl.sum(gradient, axis=0)
    gradients += model * stride + offset
    tl.store(
        gradients + column[:, None] * hidden + unit[None, :],
        matrix_sum,
        mask=(column < outcomes)[:, None] & (unit < hidden)[None, :],
    )
    tl.store(gradients + outcomes * hidden + column, bias_sum, mask=column < outcomes)
    tl.store(losses + model, tl.sum(loss))


@triton.jit
def _targets_of_batch(wanted, source, weight, at, real, rows: tl.constexpr, batch: tl.constexpr):
    """How many targets the draws of a batch have, int32.

    Args:
        wanted: int32, targets of each example. source, weight: of the batch's rows, which begin `at` there.
        real: how many of the rows there are.
    """
    row = tl.arange(0, rows)
    inside = row < real
    targets = tl.load(wanted + tl.load(source + at + row, mask=inside, other=0), mask=inside, other=0)
    draws = (tl.load(weight + at + row, mask=inside, other=0.0) * batch + 0.5).to(tl.int32)
    return tl.sum(draws * targets)
