"""Linear maps of many rows, by oneDNN where PyTorch has it: on some processors it is faster than PyTorch's BLAS."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
    if has_onednn(inputs, weight):
        return _Linear.apply(inputs, weight, bias)
    return torch.nn.functional.linear(inputs, weight, bias)


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
        # A sum over many rows is what BLAS does better: it splits them among the threads.
        return d_inputs, d_flat.t() @ flat, d_flat.sum(0) if ctx.needs_input_grad[2] else None
