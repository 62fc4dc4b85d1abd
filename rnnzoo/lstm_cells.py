"""The element-wise half of an LSTM step, forward and backward: by PyTorch, or on a CUDA device in one launch.

Gates are in PyTorch's order (input, forget, cell, output), the inputs of the cell gate doubled. Shapes are [M, N, ...]
or [N, ...], contiguous along the last axis.
"""

from __future__ import annotations

import importlib.util
from functools import cache

import torch
from torch import Tensor

from rnnzoo.network import GATES

_BLOCK = 256
"""Numbers per program: a cell of a few thousand spreads over the device."""


def advance(gates: Tensor, cell: Tensor, new_cell: Tensor, squashed: Tensor, output: Tensor) -> None:
    """From gate inputs [..., 4H] and the cell before to the other three; gates end as activations, all [..., H]."""
    if _in_one_launch(gates):
        _launch("advance", (gates, cell, new_cell, squashed, output))
    else:
        advance_by_pytorch(gates, cell, new_cell, squashed, output)


def retreat(
    gates: Tensor,
    cell: Tensor,
    squashed: Tensor,
    d_output: Tensor,
    d_cell: Tensor,
    d_before: Tensor,
    d_gates: Tensor,
) -> None:
    """The gradients of the gate inputs and of the cell before.

    Args:
        gates, squashed: as `advance` left them, [..., 4H] and [..., H].
        cell: the cell before, [..., H].
        d_output: gradient of the output, [..., H].
        d_cell: gradient of the new cell by way of later steps, [..., H].
        d_before: where the gradient of the cell before goes, [..., H]; it may be `d_cell` itself.
        d_gates: where the gradient of the gate inputs goes, [..., 4H].
    """
    if _in_one_launch(gates):
        _launch("retreat", (gates, cell, squashed, d_output, d_cell, d_before, d_gates))
    else:
        retreat_by_pytorch(gates, cell, squashed, d_output, d_cell, d_before, d_gates)


def advance_by_pytorch(gates: Tensor, cell: Tensor, new_cell: Tensor, squashed: Tensor, output: Tensor) -> None:
    """`advance` on any device and in any precision."""
    gates.sigmoid_()
    enter, forget, candidate, leave = gates.chunk(len(GATES), dim=-1)
    candidate.mul_(2).sub_(1)
    torch.mul(enter, candidate, out=new_cell).addcmul_(forget, cell)
    torch.mul(new_cell, 2, out=squashed).sigmoid_().mul_(2).sub_(1)
    torch.mul(leave, squashed, out=output)


def retreat_by_pytorch(
    gates: Tensor,
    cell: Tensor,
    squashed: Tensor,
    d_output: Tensor,
    d_cell: Tensor,
    d_before: Tensor,
    d_gates: Tensor,
) -> None:
    """`retreat` on any device and in any precision."""
    enter, forget, candidate, leave = gates.chunk(len(GATES), dim=-1)
    by_output = d_output * leave
    flow = torch.add(d_cell, by_output, out=d_before).addcmul_(by_output.mul_(squashed), squashed, value=-1)
    torch.addcmul(gates, gates, gates, value=-1, out=d_gates)
    d_enter, d_forget, d_candidate, d_leave = d_gates.chunk(len(GATES), dim=-1)
    d_enter.mul_(candidate).mul_(flow)
    d_forget.mul_(cell).mul_(flow)
    d_leave.mul_(squashed).mul_(d_output)
    # Half the slope of tanh, since the gate input is doubled.
    half = (flow * enter).mul_(0.5)
    torch.addcmul(half, half * candidate, candidate, value=-1, out=d_candidate)
    flow.mul_(forget)


def launch_arguments(tensors: tuple[Tensor, ...]) -> tuple[list[Tensor | int], dict[str, int]]:
    """What a kernel of `rnnzoo.cell_kernels` is told: positional arguments and constants.

    Args:
        tensors: those of `advance` or `retreat`, all [M, N, ...] or all [N, ...].
    """
    deep = [tensor if tensor.ndim == 3 else tensor[None] for tensor in tensors]
    models, rows, gates = deep[0].shape
    hidden = gates // len(GATES)
    strides = [stride for tensor in deep for stride in tensor.stride()[:2]]
    return [*deep, *strides, models * rows * hidden, rows], {"hidden": hidden, "block": _BLOCK}


def _launch(name: str, tensors: tuple[Tensor, ...]) -> None:
    from rnnzoo import cell_kernels

    arguments, constants = launch_arguments(tensors)
    *_, count, _ = arguments
    # Triton launches on the current device, which may be another than that of the tensors.
    with torch.cuda.device_of(tensors[0]):
        getattr(cell_kernels, name)[(-(-count // _BLOCK),)](*arguments, **constants)


def _in_one_launch(gates: Tensor) -> bool:
    return gates.is_cuda and gates.dtype == torch.float32 and _triton_installed()


@cache
def _triton_installed() -> bool:
    return importlib.util.find_spec("triton") is not None
