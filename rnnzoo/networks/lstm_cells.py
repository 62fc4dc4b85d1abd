"""The element-wise half of an LSTM step, forward and backward: by PyTorch, or on a CUDA device in one launch.

Gates are in PyTorch's order (input, forget, cell, output), the inputs of the cell gate doubled. Shapes are [M, N, ...]
or [N, ...], contiguous along the last axis.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from rnnzoo.networks.network import GATES

_BLOCK = 256
"""Numbers per program: a cell of a few thousand spreads over the device."""


def cell_forward(gates: Tensor, cell: Tensor, new_cell: Tensor, tanh_cell: Tensor, output: Tensor) -> None:
    """One step from gate inputs [..., 4H], which become the gates' activations, and the cell before [..., H].

    Args:
        gates: gate inputs, overwritten by activations.
        cell: the cell before.
        new_cell, tanh_cell, output: written: the new cell, its tanh, and the output gate times that, [..., H] each.
    """
    if _in_one_launch(gates):
        _launch("cell_forward", (gates, cell, new_cell, tanh_cell, output))
    else:
        cell_forward_by_pytorch(gates, cell, new_cell, tanh_cell, output)


def cell_backward(
    gates: Tensor,
    cell: Tensor,
    tanh_cell: Tensor,
    d_output: Tensor,
    d_cell: Tensor,
    d_before: Tensor,
    d_gates: Tensor,
) -> None:
    """The gradients of the gate inputs and of the cell before.

    Args:
        gates, tanh_cell: as `cell_forward` left them, [..., 4H] and [..., H].
        cell: the cell before, [..., H].
        d_output: gradient of the output, [..., H].
        d_cell: gradient of the new cell by way of later steps, [..., H].
        d_before: where the gradient of the cell before goes, [..., H]; it may be `d_cell` itself.
        d_gates: where the gradient of the gate inputs goes, [..., 4H].
    """
    if _in_one_launch(gates):
        _launch("cell_backward", (gates, cell, tanh_cell, d_output, d_cell, d_before, d_gates))
    else:
        cell_backward_by_pytorch(gates, cell, tanh_cell, d_output, d_cell, d_before, d_gates)


def cell_forward_by_pytorch(gates: Tensor, cell: Tensor, new_cell: Tensor, tanh_cell: Tensor, output: Tensor) -> None:
    """`cell_forward` on any device and in any precision."""
    gates.sigmoid_()
    input_gate, forget_gate, cell_gate, output_gate = gates.chunk(len(GATES), dim=-1)
    cell_gate.mul_(2).sub_(1)
    torch.mul(input_gate, cell_gate, out=new_cell).addcmul_(forget_gate, cell)
    torch.mul(new_cell, 2, out=tanh_cell).sigmoid_().mul_(2).sub_(1)
    torch.mul(output_gate, tanh_cell, out=output)


def cell_backward_by_pytorch(
    gates: Tensor,
    cell: Tensor,
    tanh_cell: Tensor,
    d_output: Tensor,
    d_cell: Tensor,
    d_before: Tensor,
    d_gates: Tensor,
) -> None:
    """`cell_backward` on any device and in any precision."""
    input_gate, forget_gate, cell_gate, output_gate = gates.chunk(len(GATES), dim=-1)
    by_output = d_output * output_gate
    d_new_cell = torch.add(d_cell, by_output, out=d_before).addcmul_(by_output.mul_(tanh_cell), tanh_cell, value=-1)
    torch.addcmul(gates, gates, gates, value=-1, out=d_gates)
    d_input_gate, d_forget_gate, d_cell_gate, d_output_gate = d_gates.chunk(len(GATES), dim=-1)
    d_input_gate.mul_(cell_gate).mul_(d_new_cell)
    d_forget_gate.mul_(cell).mul_(d_new_cell)
    d_output_gate.mul_(tanh_cell).mul_(d_output)
    # Half the slope of tanh, since the gate input is doubled.
    half = (d_new_cell * input_gate).mul_(0.5)
    torch.addcmul(half, half * cell_gate, cell_gate, value=-1, out=d_cell_gate)
    d_new_cell.mul_(forget_gate)


def launch_arguments(tensors: tuple[Tensor, ...]) -> tuple[list[Any], dict[str, int]]:
    """What a kernel of `rnnzoo.networks.cell_kernels` is told: positional arguments and constants.

    Args:
        tensors: those of `cell_forward` or `cell_backward`, all [M, N, ...] or all [N, ...].
    """
    deep = [tensor if tensor.ndim == 3 else tensor[None] for tensor in tensors]
    models, rows, gates = deep[0].shape
    hidden = gates // len(GATES)
    with_strides = [(tensor, *tensor.stride()[:2]) for tensor in deep]
    return [*with_strides, models * rows * hidden, rows], {"hidden": hidden, "block": _BLOCK}


def _launch(name: str, tensors: tuple[Tensor, ...]) -> None:
    from rnnzoo.networks import cell_kernels

    arguments, constants = launch_arguments(tensors)
    *_, count, _ = arguments
    # Triton launches on the current device, which may be another than that of the tensors.
    with torch.cuda.device_of(tensors[0]):
        getattr(cell_kernels, name)[(-(-count // _BLOCK),)](*arguments, **constants)


def _in_one_launch(gates: Tensor) -> bool:
    return gates.is_cuda and gates.dtype == torch.float32 and _triton_installed()


@cache
def _triton_installed() -> bool:
    """Triton that takes tuples as arguments; an older one came with PyTorch until 2.7."""
    try:
        return tuple(map(int, version("triton").split(".")[:2])) >= (3, 4)
    except PackageNotFoundError:
        return False
