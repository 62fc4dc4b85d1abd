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

State = tuple[Tensor, Tensor]
Weights = tuple[Tensor, Tensor, Tensor]
LayerWeights = tuple[Tensor, Tensor, Tensor]


def double_cell_gate(gates: Tensor) -> Tensor:
    """Weights or biases [..., 4H] with the part of the cell gate doubled, as the other functions here want them."""
    factors = gates.new_ones(len(GATES), gates.shape[-1] // len(GATES))
    factors[GATES.index("cell")] = 2
    return gates * factors.flatten()


def for_steps(weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> Weights:
    """A layer's weights [4H, K], [4H, H] and bias [4H] in the form that `lstm_step` and `lstm_sequence` take."""
    by_input, recurrent = (double_cell_gate(weight.t()).contiguous() for weight in (weight_ih, weight_hh))
    return by_input, recurrent, double_cell_gate(bias)


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
        # PyTorch's own layer, which oneDNN fuses on the CPU, needs half the time of the one below.
        zero = inputs.new_zeros(1, inputs.shape[1], weight_hh.shape[1])
        weights = (weight_ih, weight_hh, bias, torch.zeros_like(bias))
        return torch.lstm(inputs, (zero, zero), weights, True, 1, 0.0, torch.is_grad_enabled(), False, False)[0]
    return lstm_sequence(inputs, *for_steps(weight_ih, weight_hh, bias))


def lstm_sequence(inputs: Tensor, by_input: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """Outputs of one LSTM layer, or of a population of them, over a whole sequence, starting from a zero state.

    Args:
        inputs: [positions, N, K], or for a population of M layers [positions, M, N, K], or [positions, 1, N, K] for
            the same to all.
        by_input: weights [K, 4H], or [M, K, 4H]; the weights and biases of a population get no gradient.
        recurrent: weights [H, 4H], or [M, H, 4H].
        bias: [4H], or [M, 1, 4H]. The cell gate of all three is doubled.

    Returns:
        Outputs [positions, N, H] or [positions, M, N, H].
    """
    return _Sequence.apply(inputs, by_input, recurrent, bias)


def lstm_step(inputs: Tensor, state: State, weights: Weights, gradients: WeightGradients | None = None) -> State:
    """One step of an LSTM layer, or of a population of them.

    Args:
        inputs: [N, K] or [M, N, K].
        state: outputs and cells of the step before, each [N, H] or [M, N, H].
        weights: by_input, recurrent and bias as `lstm_sequence` takes them, here all taken as constant.
        gradients: collects the gradients of the weights over the steps; see `WeightGradients`.

    Returns:
        Outputs and cells after the step.
    """
    return _Step.apply(inputs, *state, *weights, gradients)


class WeightGradients:
    """Gathers what `lstm_step` needs for the weight gradients; forms them once, after the first step's backward pass.

    Wrap the initial cells with `begin`: autograd reaches them only when the backward pass of every step is done.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Tensor, Tensor, Tensor]] = []

    def begin(self, weights: Weights, cell: Tensor) -> Tensor:
        """The initial cells, tied to by_input [K, 4H], recurrent [H, 4H] and bias [4H] so that they get gradients."""
        return _Begin.apply(*weights, cell, self)

    def record(self, inputs: Tensor, output: Tensor, d_gates: Tensor) -> None:
        """Keep one step's inputs [N, K], outputs before it [N, H] and gradient of the gate inputs [N, 4H]."""
        self._steps.append((inputs, output, d_gates))

    def collect(self) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the weights over every step recorded since the last call."""
        inputs, outputs, d_gates = map(torch.cat, zip(*self._steps, strict=True))
        self._steps = []
        return inputs.t() @ d_gates, outputs.t() @ d_gates, d_gates.sum(0)


class _Begin(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, by_input: Tensor, recurrent: Tensor, bias: Tensor, cell: Tensor, gradients: WeightGradients
    ) -> Tensor:
        ctx.gradients = gradients
        return cell.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_cell: Tensor) -> tuple[Tensor | None, ...]:
        return *ctx.gradients.collect(), None, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        output: Tensor,
        cell: Tensor,
        by_input: Tensor,
        recurrent: Tensor,
        bias: Tensor,
        gradients: WeightGradients | None,
    ) -> tuple[Tensor, Tensor]:
        multiply_add = torch.addmm if recurrent.ndim == 2 else torch.baddbmm
        gates = multiply_add(bias, inputs, by_input)
        multiply_add(gates, output, recurrent, out=gates)
        new_cell, squashed, new_output = torch.empty_like(cell), torch.empty_like(cell), torch.empty_like(cell)
        _advance(gates, cell, new_cell, squashed, new_output)
        ctx.save_for_backward(inputs, output, cell, by_input, recurrent, gates, squashed)
        ctx.gradients = gradients
        return new_output, new_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_output: Tensor, d_cell: Tensor) -> tuple[Tensor | None, ...]:
        inputs, output, cell, by_input, recurrent, gates, squashed = ctx.saved_tensors
        d_gates, d_before = torch.empty_like(gates), d_cell.clone()
        _retreat(gates, cell, squashed, d_output, d_before, d_gates)
        if ctx.gradients is not None:
            ctx.gradients.record(inputs, output, d_gates)
        d_inputs = torch.matmul(d_gates, by_input.mT) if ctx.needs_input_grad[0] else None
        return d_inputs, torch.matmul(d_gates, recurrent.mT), d_before, None, None, None, None


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, by_input: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
        alone = recurrent.ndim == 2
        multiply_add = torch.addmm if alone else torch.baddbmm
        lead = inputs.shape[:2] if alone else (len(inputs), len(recurrent), inputs.shape[2])
        gates = inputs.new_empty(*lead, bias.shape[-1])
        cells = inputs.new_empty(*lead, recurrent.shape[-2])
        squashed, outputs = torch.empty_like(cells), torch.empty_like(cells)
        if alone:
            torch.addmm(bias, inputs.flatten(0, 1), by_input, out=gates.flatten(0, 1))
        output, cell = None, torch.zeros_like(cells[0])
        each = zip(*(tensor.unbind() for tensor in (inputs, gates, cells, squashed, outputs)), strict=True)
        for given, gate, new_cell, squash, new_output in each:
            if not alone:
                torch.baddbmm(bias, given.expand(len(recurrent), -1, -1), by_input, out=gate)
            if output is not None:
                multiply_add(gate, output, recurrent, out=gate)
            _advance(gate, cell, new_cell, squash, new_output)
            output, cell = new_output, new_cell
        ctx.save_for_backward(inputs, by_input, recurrent, gates, cells, squashed, outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        inputs, by_input, recurrent, gates, cells, squashed, outputs = ctx.saved_tensors
        alone = recurrent.ndim == 2
        multiply_add = torch.addmm if alone else torch.baddbmm
        to_input, to_output = by_input.mT.contiguous(), recurrent.mT.contiguous()
        d_gates, d_cell = torch.empty_like(gates), torch.zeros_like(cells[0])
        d_inputs = torch.empty_like(inputs)
        befores = (torch.zeros_like(cells[0]), *cells[:-1].unbind())
        each = zip(*(t.unbind() for t in (d_outputs, gates, squashed, d_gates, d_inputs)), befores, strict=True)
        d_next = None
        for d_output, gate, squash, d_gate, d_given, before in reversed(list(each)):
            total = d_output if d_next is None else multiply_add(d_output, d_next, to_output)
            _retreat(gate, before, squash, total, d_cell, d_gate)
            d_next = d_gate
            if not alone:
                by_model = torch.bmm(d_gate, to_input)
                torch.sum(by_model, 0, keepdim=True, out=d_given) if len(d_given) == 1 else d_given.copy_(by_model)
        if not alone:
            return d_inputs, None, None, None
        flat = d_gates.flatten(0, 1)
        torch.mm(flat, to_input, out=d_inputs.flatten(0, 1))
        d_recurrent = outputs[:-1].flatten(0, 1).t() @ d_gates[1:].flatten(0, 1)
        return d_inputs, inputs.flatten(0, 1).t() @ flat, d_recurrent, flat.sum(0)


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
