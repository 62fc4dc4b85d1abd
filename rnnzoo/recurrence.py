"""The LSTM recurrence with a hand-written backward pass, for one set of weights or one per model of a population.

Plain autograd spends most of a small LSTM's time on bookkeeping. Here the forward pass keeps the gates, the backward
pass computes every local derivative of all steps at once, and the gradient of the recurrent weights is one matrix
product over all steps. Gates are ordered input, forget, output, candidate, so that one call serves the three sigmoids.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

GATE_ORDER = (0, 1, 3, 2)
"""Positions of this module's gates (input, forget, output, candidate) among PyTorch's (input, forget, cell, output)."""


def lstm_recurrence(projected: Tensor, recurrent: Tensor) -> Tensor:
    """Outputs of one LSTM layer over a whole sequence, starting from a zero state.

    Args:
        projected: gate inputs without their recurrent part, [positions, N, 4H], or [positions, M, N, 4H] for a
            population of M layers.
        recurrent: weights [H, 4H], or [M, H, 4H] for a population, whose weights then get no gradient.

    Returns:
        Outputs [positions, N, H] or [positions, M, N, H].
    """
    return _Recurrence.apply(projected, recurrent)


def lstm_step(
    inputs: Tensor, cell: Tensor, weight: Tensor, bias: Tensor, gradients: WeightGradients | None = None
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM layer.

    Args:
        inputs: layer inputs joined with the layer's last outputs, [N, K + H] or [M, N, K + H].
        cell: cell state [N, H] or [M, N, H].
        weight: [K + H, 4H] or [M, K + H, 4H], taken as constant.
        bias: [4H] or [M, 1, 4H], taken as constant.
        gradients: collects the gradients of weight and bias over the steps; see `WeightGradients`.

    Returns:
        Outputs and cell state, shaped like `cell`.
    """
    return _Step.apply(inputs, cell, weight, bias, gradients)


class WeightGradients:
    """Gathers what `lstm_step` needs for the weight gradient and forms it once, after the first step's backward pass.

    Wrap the initial cell state with `begin`: autograd reaches it only when the backward pass of every step is done.
    """

    def __init__(self) -> None:
        self._inputs: list[Tensor] = []
        self._gates: list[Tensor] = []

    def begin(self, weight: Tensor, bias: Tensor, cell: Tensor) -> Tensor:
        """The initial cell state, tied to weight [K + H, 4H] and bias [4H] so that they get their gradients."""
        return _Begin.apply(weight, bias, cell, self)

    def record(self, inputs: Tensor, gates: Tensor) -> None:
        """Keep one step's inputs [N, K + H] and gate gradients [N, 4H]."""
        self._inputs.append(inputs)
        self._gates.append(gates)

    def collect(self) -> tuple[Tensor, Tensor]:
        """Gradients of weight and bias over every step recorded since the last call."""
        inputs, gates = torch.cat(self._inputs), torch.cat(self._gates)
        self._inputs, self._gates = [], []
        return inputs.t() @ gates, gates.sum(0)


class _Begin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, cell: Tensor, gradients: WeightGradients) -> Tensor:
        ctx.gradients = gradients
        return cell.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_cell: Tensor) -> tuple[Tensor | None, ...]:
        d_weight, d_bias = ctx.gradients.collect()
        return d_weight, d_bias, None, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, cell: Tensor, weight: Tensor, bias: Tensor, gradients: WeightGradients | None
    ) -> tuple[Tensor, Tensor]:
        gates = torch.addmm(bias, inputs, weight) if weight.ndim == 2 else torch.baddbmm(bias, inputs, weight)
        hidden = cell.shape[-1]
        _activate(gates, hidden)
        enter, forget, leave, candidate = gates.split(hidden, dim=-1)
        new_cell = torch.addcmul(forget * cell, enter, candidate)
        squashed = new_cell.tanh()
        ctx.save_for_backward(inputs, cell, weight, gates, squashed)
        ctx.gradients = gradients
        return leave * squashed, new_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_output: Tensor, d_cell: Tensor) -> tuple[Tensor | None, ...]:
        inputs, cell, weight, gates, squashed = ctx.saved_tensors
        enter, forget, leave, candidate = gates.split(cell.shape[-1], dim=-1)
        d_cell = torch.addcmul(d_cell, d_output, leave * (1 - squashed * squashed))
        d_gates = gates - gates * gates
        d_enter, d_forget, d_leave, d_candidate = d_gates.split(cell.shape[-1], dim=-1)
        torch.mul(d_cell * enter, 1 - candidate * candidate, out=d_candidate)
        d_enter.mul_(candidate).mul_(d_cell)
        d_forget.mul_(cell).mul_(d_cell)
        d_leave.mul_(squashed).mul_(d_output)
        if ctx.gradients is not None:
            ctx.gradients.record(inputs, d_gates)
        return torch.matmul(d_gates, weight.transpose(-1, -2)), d_cell * forget, None, None, None


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, recurrent: Tensor) -> Tensor:
        positions, hidden = len(projected), recurrent.shape[-2]
        multiply_add = torch.addmm if recurrent.ndim == 2 else torch.baddbmm
        gates = torch.empty_like(projected, memory_format=torch.contiguous_format)
        cells = projected.new_empty(projected.shape[:-1] + (hidden,))
        squashed, outputs = torch.empty_like(cells), torch.empty_like(cells)
        for position in range(positions):
            gate = gates[position]
            if position == 0:
                gate.copy_(projected[0])
            else:
                multiply_add(projected[position], outputs[position - 1], recurrent, out=gate)
            _activate(gate, hidden)
            enter, forget, leave, candidate = gate.split(hidden, dim=-1)
            cell = cells[position]
            torch.mul(enter, candidate, out=cell)
            if position:
                cell.addcmul_(forget, cells[position - 1])
            torch.tanh(cell, out=squashed[position])
            torch.mul(leave, squashed[position], out=outputs[position])
        ctx.save_for_backward(recurrent, gates, cells, squashed, outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        recurrent, gates, cells, squashed, outputs = ctx.saved_tensors
        hidden = recurrent.shape[-2]
        d_gates, cell_slope = _local_derivatives(gates, cells, squashed)
        backwards = recurrent.transpose(-1, -2).contiguous()
        multiply_add = torch.addmm if recurrent.ndim == 2 else torch.baddbmm
        d_cell = torch.zeros_like(cells[0])
        d_output = d_outputs[-1]
        for position in reversed(range(len(gates))):
            if position < len(gates) - 1:
                d_output = multiply_add(d_outputs[position], d_gates[position + 1], backwards)
                d_cell.mul_(gates[position + 1][..., hidden : 2 * hidden])
            d_cell.addcmul_(d_output, cell_slope[position])
            d_enter, d_forget, d_leave, d_candidate = d_gates[position].split(hidden, dim=-1)
            d_enter.mul_(d_cell)
            d_forget.mul_(d_cell)
            d_candidate.mul_(d_cell)
            d_leave.mul_(d_output)
        d_recurrent = None
        if recurrent.ndim == 2 and ctx.needs_input_grad[1]:
            d_recurrent = outputs[:-1].flatten(0, 1).t() @ d_gates[1:].flatten(0, 1)
        return d_gates, d_recurrent


def _activate(gates: Tensor, hidden: int) -> None:
    gates[..., : 3 * hidden].sigmoid_()
    gates[..., 3 * hidden :].tanh_()


def _local_derivatives(gates: Tensor, cells: Tensor, squashed: Tensor) -> tuple[Tensor, Tensor]:
    """What each gate's pre-activation does to the cell (to the output for the output gate), and the output by cell."""
    hidden = cells.shape[-1]
    enter, _, leave, candidate = gates.split(hidden, dim=-1)
    slopes = torch.empty_like(gates)
    torch.addcmul(gates, gates, gates, value=-1, out=slopes)
    by_enter, by_forget, by_leave, by_candidate = slopes.split(hidden, dim=-1)
    by_enter.mul_(candidate)
    by_forget[1:].mul_(cells[:-1])
    by_forget[0].zero_()
    by_leave.mul_(squashed)
    torch.mul(enter, candidate, out=by_candidate)
    torch.addcmul(enter, by_candidate, candidate, value=-1, out=by_candidate)
    cell_slope = squashed.square().neg_().add_(1).mul_(leave)
    return slopes, cell_slope
