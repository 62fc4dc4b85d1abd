"""Drawing the batch of an update on the device, with the words of `rnnzoo.generation.randomness`."""

import triton
import triton.language as tl


@triton.jit
def words(seed, model_id, purpose: tl.constexpr, step, blocks):
    """Four lanes of random words of a model's stream: uint32 like `blocks`, word i is lane i % 4 of block i // 4."""
    block = blocks.to(tl.uint32)
    zero = block * 0
    return tl.philox(seed, block, zero + step.to(tl.uint32), zero + model_id.to(tl.uint32), zero + purpose)


@triton.jit
def draw_distinct(
    seed,
    step,
    model_ids,
    counts,
    source,
    weight,
    purpose: tl.constexpr,
    batch: tl.constexpr,
    blocks: tl.constexpr,
    rows: tl.constexpr,
):
    """A batch over few examples as weighted rows: row i is example i, weighted by its share of the draws.

    Args:
        seed: int64 [1], zoo seed. step: int32 [1], the update. model_ids: int32 [M], bit patterns of uint32.
        counts: int32 [M], number of examples, at most `rows`.
        source: int32 [M, rows], out: i. weight: float32 [M, rows], out: draws of example i / batch.
        purpose: stream of random words. batch: draws. blocks: power of two >= batch / 4. rows: R.
    """
    model = tl.program_id(0)
    count = tl.load(counts + model).to(tl.uint32)
    block = tl.arange(0, blocks)
    lane_0, lane_1, lane_2, lane_3 = words(tl.load(seed), tl.load(model_ids + model), purpose, tl.load(step), block)
    row = tl.arange(0, rows)
    example = row.to(tl.uint32)[None, :]
    first = block[:, None] * 4
    drawn = ((tl.umulhi(lane_0, count)[:, None] == example) & (first < batch)).to(tl.int32)
    drawn += ((tl.umulhi(lane_1, count)[:, None] == example) & (first + 1 < batch)).to(tl.int32)
    drawn += ((tl.umulhi(lane_2, count)[:, None] == example) & (first + 2 < batch)).to(tl.int32)
    drawn += ((tl.umulhi(lane_3, count)[:, None] == example) & (first + 3 < batch)).to(tl.int32)
    tl.store(source + model * rows + row, row)
    tl.store(weight + model * rows + row, tl.sum(drawn, axis=0).to(tl.float32) / batch)


@triton.jit
def draw_each(
    seed,
    step,
    model_ids,
    counts,
    drawable,
    source,
    weight,
    purpose: tl.constexpr,
    batch: tl.constexpr,
    blocks: tl.constexpr,
    rows: tl.constexpr,
):
    """A batch as one row per draw, all weighted 1 / batch; arguments as for `draw_distinct`, and:

    Args:
        drawable: int32, the example behind each number drawn; every entry of `counts` is at most its length.
    """
    model = tl.program_id(0)
    count = tl.load(counts + model).to(tl.uint32)
    block = tl.arange(0, blocks)
    lanes = words(tl.load(seed), tl.load(model_ids + model), purpose, tl.load(step), block)
    for lane in tl.static_range(4):
        row = block * 4 + lane
        inside = row < rows
        example = tl.load(drawable + tl.umulhi(lanes[lane], count).to(tl.int32))
        share = tl.where(row < batch, 1.0 / batch, 0.0)
        tl.store(source + model * rows + row, example, mask=inside)
        tl.store(weight + model * rows + row, share, mask=inside)
