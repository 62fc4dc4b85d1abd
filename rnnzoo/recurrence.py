"""LSTM layers with a hand-written backward pass, for one set of weights or one per model of a population.

Plain autograd spends most of a small LSTM's time on bookkeeping, and tanh costs several times as much as the logistic
function. So these functions take gates in PyTorch's order (input, forget, cell, output) with the cell gate's values
doubled: tanh(x) = 2 logistic(2 x) - 1, and one call serves all four gates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnzoo.network import GATES


def double_cell_gate(gates: Tensor) -> Tensor:
    """Weights or biases [..., 4H] with the part of the cell gate doubled, as the other functions here want them."""
    factors = gates.new_ones(len(GATES), gates.shape[-1] // len(GATES))
    factors[GATES.index("cell")] = 2
    return gates * factors.flatten()


def lstm_layer(inputs: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> Tensor:
    """Outputs of one LSTM layer over a whole sequence, starting from a zero state.

    Args:
        inputs: [positions, N, K].
        weight_ih, weight_hh: [4H, K] and [4H, H], in PyTorch's form, nothing doubled.
        bias: [4H], the sum of PyTorch's two.

    Returns:
        Outputs [positions, N, H].
    """
    if inputs.device.type == "cpu":
        # PyTorch's own layer, which oneDNN fuses on the CPU, needs half the time of the recurrence below.
        zero = inputs.new_zeros(1, inputs.shape[1], weight_hh.shape[1])
        weights = (weight_ih, weight_hh, bias, torch.zeros_like(bias))
        return torch.lstm(inputs, (zero, zero), weights, True, 1, 0.0, torch.is_grad_enabled(), False, False)[0]
    return lstm_layer_anywhere(inputs, weight_ih, weight_hh, bias)


def lstm_layer_anywhere(inputs: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> Tensor:
    """The same as `lstm_layer`, made of products that every device has."""
    joined = double_cell_gate(torch.cat([weight_ih, weight_hh], dim=1).t())
    by_input, recurrent = joined.split((weight_ih.shape[1], weight_hh.shape[1]))
    projected = torch.addmm(double_cell_gate(bias), inputs.flatten(0, 1), by_input)
    return lstm_recurrence(projected.unflatten(0, inputs.shape[:2]), recurrent)


def lstm_recurrence(projected: Tensor, recurrent: Tensor) -> Tensor:
    """Outputs of one LSTM layer over a whole sequence, starting from a zero state.

    Args:
        projected: gate inputs without their recurrent part, [positions, N, 4H], or [positions, M, N, 4H] for a
            population of M layers; cell gate doubled.
        recurrent: weights [H, 4H], or [M, H, 4H] for a population, whose weights then get no gradient; cell gate
            doubled.

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
        weight: [K + H, 4H] or [M, K + H, 4H], cell gate doubled, taken as constant.
        bias: [4H] or [M, 1, 4H], cell gate doubled, taken as constant.
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
        new_cell, squashed, output = torch.empty_like(cell), torch.empty_like(cell), torch.empty_like(cell)
        _advance(gates, cell, new_cell, squashed, output)
        ctx.save_for_backward(inputs, cell, weight, gates, squashed)
        ctx.gradients = gradients
        return output, new_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_output: Tensor, d_cell: Tensor) -> tuple[Tensor | None, ...]:
        inputs, cell, weight, gates, squashed = ctx.saved_tensors
        d_gates, d_before = torch.empty_like(gates), d_cell.clone()
        _retreat(gates, cell, squashed, d_output, d_before, d_gates)
        if ctx.gradients is not None:
            ctx.gradients.record(inputs, d_gates)
        return torch.matmul(d_gates, weight.transpose(-1, -2)), d_before, None, None, None


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, recurrent: Tensor) -> Tensor:
        multiply_add = torch.addmm if recurrent.ndim == 2 else torch.baddbmm
        gates = torch.empty_like(projected, memory_format=torch.contiguous_format)
        cells = projected.new_empty(projected.shape[:-1] + recurrent.shape[-2:-1])
        squashed, outputs = torch.empty_like(cells), torch.empty_like(cells)
        steps = list(zip(gates.unbind(), cells.unbind(), squashed.unbind(), outputs.unbind(), strict=True))
        output, cell = None, torch.zeros_like(cells[0])
        for gate_inputs, (gate, new_cell, squash, new_output) in zip(projected.unbind(), steps, strict=True):
            if output is None:
                gate.copy_(gate_inputs)
            else:
                multiply_add(gate_inputs, output, recurrent, out=gate)
            _advance(gate, cell, new_cell, squash, new_output)
            output, cell = new_output, new_cell
        ctx.save_for_backward(recurrent, gates, cells, squashed, outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        recurrent, gates, cells, squashed, outputs = ctx.saved_tensors
        multiply_add = torch.addmm if recurrent.ndim == 2 else torch.baddbmm
        backwards = recurrent.transpose(-1, -2).contiguous()
        d_gates, d_cell = torch.empty_like(gates), torch.zeros_like(cells[0])
        befores = [torch.zeros_like(cells[0]), *cells[:-1].unbind()]
        d_next = None
        steps = zip(gates.unbind(), befores, squashed.unbind(), d_outputs.unbind(), d_gates.unbind(), strict=True)
        for gate, before, squash, d_output, d_gate in reversed(list(steps)):
            total = d_output if d_next is None else multiply_add(d_output, d_next, backwards)
            _retreat(gate, before, squash, total, d_cell, d_gate)
            d_next = d_gate
        d_recurrent = None
        if recurrent.ndim == 2 and ctx.needs_input_grad[1]:
            d_recurrent = outputs[:-1].flatten(0, 1).t() @ d_gates[1:].flatten(0, 1)
        return d_gates, d_recurrent


def _advance(gates: Tensor, cell: Tensor, new_cell: Tensor, squashed: Tensor, output: Tensor) -> None:
    """From gate inputs [..., 4H] and the cell before to the other three; gates end as activations, all [..., H]."""
    gates.sigmoid_()
    enter, forget, candidate, leave = gates.chunk(len(GATES), dim=-1)
    candidate.mul_(2).sub_(1)
    torch.mul(enter, candidate, out=new_cell).addcmul_(forget, cell)
    torch.mul(new_cell, 2, out=squashed).sigmoid_().mul_(2).sub_(1)
    torch.mul(leave, squashed, out=output)


def _retreat(gates: Tensor, cell: Tensor, squashed: Tensor, d_output: Tensor, d_cell: Tensor, d_gates: Tensor) -> None:
    """The gradient of the gate inputs; d_cell holds the gradient of the new cell and ends as that of the one before.

    Args:
        gates, squashed: as `_advance` left them, [..., 4H] and [..., H].
        cell: the cell before, [..., H].
        d_output: gradient of the output, [..., H].
        d_cell: gradient of the new cell by way of later steps, [..., H].
        d_gates: where the result goes, [..., 4H].
    """
    enter, forget, candidate, leave = gates.chunk(len(GATES), dim=-1)
    by_output = d_output * leave
    d_cell.add_(by_output).addcmul_(by_output.mul_(squashed), squashed, value=-1)
    torch.addcmul(gates, gates, gates, value=-1, out=d_gates)
    d_enter, d_forget, d_candidate, d_leave = d_gates.chunk(len(GATES), dim=-1)
    d_enter.mul_(candidate).mul_(d_cell)
    d_forget.mul_(cell).mul_(d_cell)
    d_leave.mul_(squashed).mul_(d_output)
    # Half the slope of tanh, since the gate input is doubled.
    half = (d_cell * enter).mul_(0.5)
    torch.addcmul(half, half * candidate, candidate, value=-1, out=d_candidate)
    d_cell.mul_(forget)
