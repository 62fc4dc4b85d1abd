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
COLUMNS_AT_ONCE = 48
"""Columns of the left factor that a thread takes at a time."""


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
    return all_outer_products([(left, right)])[0]


def all_outer_products(pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """`outer_products` of many pairs, whose columns are split among the threads all at once."""
    turned = [right.shape[1] % PADDING != 0 for _, right in pairs]
    ordered = [pair[::-1] if turn else pair for pair, turn in zip(pairs, turned, strict=True)]
    compiled = [number for number, pair in enumerate(ordered) if _fits(*pair)]
    results = dict(zip(compiled, _compiled_outer_products([ordered[number] for number in compiled]), strict=True))
    for number, (left, right) in enumerate(ordered):
        if number not in results:
            results[number] = left.t() @ right
    return [results[number].t() if turn else results[number] for number, turn in enumerate(turned)]


def _fits(left: Tensor, right: Tensor) -> bool:
    return len(right) > 0 and right.shape[1] % PADDING == 0 and can_compile(left, right)


def _compiled_outer_products(pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    if not pairs:
        return []
    from rnnzoo.vector_kernels.outer_products import sum_of_outer_products

    tasks, results, slices = [], [], []
    for number, (left, right) in enumerate(pairs):
        (count, width), columns = left.shape, right.shape[1]
        results.append(left.new_empty(width, columns))
        arrays = [tensor.detach().contiguous().numpy().reshape(-1) for tensor in (left, right, results[-1])]
        tasks.append((count, width, columns, arrays))
        slices += [(count * columns, number, start) for start in range(0, width, COLUMNS_AT_ONCE)]

    def do(number: int, start: int) -> None:
        count, width, columns, arrays = tasks[number]
        sum_of_outer_products(count, width, columns, start, min(start + COLUMNS_AT_ONCE, width), *arrays)

    # Long ones first: whoever is done early takes a short one more.
    parts = [part for _, *part in sorted(slices, reverse=True)]
    if sum(count * width * columns for count, width, columns, _ in tasks) < 2 * LEAST_WORK:
        for part in parts:
            do(*part)
    else:
        in_parts([(number, start) for number, start in parts], do)
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
