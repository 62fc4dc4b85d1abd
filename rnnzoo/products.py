"""Products of tall matrices: linear maps of many rows and their gradients, by what is faster than PyTorch's BLAS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnzoo.compilation import PADDING, can_compile
from rnnzoo.threads import in_parts

LEAST_WORK = 1 << 20
"""Multiply-adds below which a second thread costs more than it saves."""
LEAST_ROWS = 256
"""Rows below which oneDNN, which puts the weight in another order at every call, takes longer than it saves."""
COLUMNS_AT_ONCE = 144
"""Columns of the left factor that a thread takes at a time."""

Blocks = Sequence[tuple[Tensor, Tensor]]
"""Factors whose rows are together those of a whole, [N, K] and [N, L]."""


def has_onednn(*tensors: Tensor) -> bool:
    """Whether oneDNN multiplies these: all numbers are float32 on the CPU, and this PyTorch is built with it."""
    fits = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
    return fits and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def map_rows(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """A linear map without gradient, and a ReLU if wanted: inputs [N, K], weight [L, K], bias [L] to [N, L]."""
    if has_onednn(inputs, weight):
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "relu" if relu else "none", [], "")
    outputs = torch.nn.functional.linear(inputs, weight, bias)
    return outputs.relu_() if relu else outputs


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear map, [..., K] to [..., L], weight [L, K] and bias [L] as in `torch.nn.functional.linear`."""
    if inputs.numel() >= LEAST_ROWS * inputs.shape[-1] and has_onednn(inputs, weight):
        return _Linear.apply(inputs, weight, bias)
    return torch.nn.functional.linear(inputs, weight, bias)


def outer_products(left: Tensor, right: Tensor) -> Tensor:
    """The sum over N of the outer products of their rows, [N, K] and [N, L] to [K, L], without gradient.

    Every element is one chain of multiply-adds, the same for any number of threads, where it is compiled: on the CPU in
    float32 with K or L a multiple of 16.
    """
    return sums_of_outer_products([[(left, right)]])[0]


def sums_of_outer_products(sums: Sequence[Blocks]) -> list[Tensor]:
    """Many `outer_products`, each over all its blocks of rows; the threads share all of them."""
    turned = [blocks[0][1].shape[1] % PADDING != 0 for blocks in sums]
    ordered = [[block[::-1] if turn else block for block in blocks] for blocks, turn in zip(sums, turned, strict=True)]
    compiled = [number for number, blocks in enumerate(ordered) if all(_fits(*block) for block in blocks)]
    results = dict(zip(compiled, _compiled_sums([ordered[number] for number in compiled]), strict=True))
    for number, blocks in enumerate(ordered):
        if number not in results:
            left, right = (torch.cat(side) for side in zip(*blocks, strict=True))
            results[number] = left.t() @ right
    return [results[number].t() if turn else results[number] for number, turn in enumerate(turned)]


def _fits(left: Tensor, right: Tensor) -> bool:
    return len(right) > 0 and right.shape[1] % PADDING == 0 and can_compile(left, right)


def _compiled_sums(sums: Sequence[Blocks]) -> list[Tensor]:
    if not sums:
        return []
    from rnnzoo.vector_kernels.outer_products import sum_of_outer_products

    tasks, results, slices = [], [], []
    for number, blocks in enumerate(sums):
        width, columns, count = blocks[0][0].shape[1], blocks[0][1].shape[1], sum(len(left) for left, _ in blocks)
        results.append(blocks[0][0].new_empty(width, columns))
        arrays = [[tensor.detach().contiguous().numpy().reshape(-1) for tensor in block] for block in blocks]
        tasks.append((width, columns, arrays, results[-1].numpy().reshape(-1)))
        slices += [(count * columns, number, start) for start in range(0, width, COLUMNS_AT_ONCE)]

    def do(number: int, start: int) -> None:
        width, columns, blocks, result = tasks[number]
        end = min(start + COLUMNS_AT_ONCE, width)
        for place, (left, right) in enumerate(blocks):
            sum_of_outer_products(len(right) // columns, width, columns, start, end, left, right, result, place > 0)

    # The longest first, so that threads that finish early share the short ones.
    parts = [(number, start) for _, number, start in sorted(slices, reverse=True)]
    if sum(work * min(COLUMNS_AT_ONCE, tasks[number][0] - start) for work, number, start in slices) < 2 * LEAST_WORK:
        for part in parts:
            do(*part)
    else:
        in_parts(parts, do)
    return results


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        flat = inputs.flatten(0, -2)
        ctx.save_for_backward(flat, weight)
        return map_rows(flat, weight, bias).view(*inputs.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight = ctx.saved_tensors
        d_flat = d_outputs.flatten(0, -2)
        d_inputs = map_rows(d_flat, weight.t()).view(*d_outputs.shape[:-1], -1) if ctx.needs_input_grad[0] else None
        d_bias = d_flat.sum(0) if ctx.needs_input_grad[2] else None
        return d_inputs, outer_products(d_flat, flat), d_bias
