"""Gradient of one layer's inputs, which are the outputs of the layer below."""

import triton
import triton.language as tl

from rnnzoo.generation.engines.triton_kernels.tiles import gate_tile


@triton.jit
def input_gradient(
    weights,
    live,
    preactivation_gradients,
    input_gradients,
    stride: tl.constexpr,
    offset: tl.constexpr,
    hidden: tl.constexpr,
    units: tl.constexpr,
    rows: tl.constexpr,
    positions: tl.constexpr,
    chunk: tl.constexpr,
    precision: tl.constexpr,
):
    """Sum over the four gates of pre-activation gradients times `weight_ih`; grid (M, T * rows / chunk).

    Args:
        weights: float32 [M, stride]; the layer's `weight_ih` [4 * hidden, hidden] begins at `offset`.
        live: int32 [M]. preactivation_gradients: float32 [M, 4, T, rows, units].
        input_gradients: float32 [M, T, rows, units], out.
        chunk: rows per program.
    """
    model = tl.program_id(0).to(tl.int64)
    total: tl.constexpr = positions * rows
    index = tl.program_id(1) * chunk + tl.arange(0, chunk)
    inside = ((index < total) & (index % rows < tl.load(live + model)))[:, None]
    tile = index[:, None] * units + tl.arange(0, units)[None, :]
    preactivation_gradients += model * 4 * total * units
    weights += model * stride + offset
    result = tl.zeros((chunk, units), tl.float32)
    for gate in tl.static_range(4):
        gradient = tl.load(preactivation_gradients + gate * total * units + tile, mask=inside, other=0.0)
        matrix = gate_tile(weights, gate, hidden, hidden, units, units)
        result = tl.dot(gradient, matrix, acc=result, input_precision=precision)
    tl.store(input_gradients + model * total * units + tile, result, mask=inside)
