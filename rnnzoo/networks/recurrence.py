"""LSTM layers: PyTorch's, and with a hand-written backward pass a population of them, or one taken step by step.

Plain autograd spends most of a small LSTM's time on bookkeeping, and tanh costs several times as much as the logistic
function. So these functions take gates in PyTorch's order (input, forget, cell, output) with the cell gate's values
doubled: tanh(x) = 2 logistic(2 x) - 1, and one call serves all four gates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnzoo.networks.lstm_cells import cell_backward, cell_forward
from rnnzoo.networks.network import GATES

State = tuple[Tensor, Tensor]
Weights = tuple[Tensor, Tensor, Tensor]
LayerWeights = tuple[Tensor, Tensor, Tensor]


def double_cell_gate(gates: Tensor) -> Tensor:
    """Weights or biases [..., 4H] with the part of the cell gate doubled, as the other functions here want them."""
    factors = gates.new_ones(len(GATES), gates.shape[-1] // len(GATES))
    factors[GATES.index("cell")].fill_(2)
    return gates * factors.flatten()


def for_steps(weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> Weights:
    """A layer's weights [4H, K], [4H, H] and bias [4H] in the form that `lstm_step` takes."""
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
    weights = (weight_ih, weight_hh, bias, torch.zeros_like(bias))
    if inputs.is_cuda:
        # cuDNN wants its weights one after the other in memory, or it warns and copies them in every pass.
        sizes = [weight.numel() for weight in weights]
        joined = torch.cat([weight.flatten() for weight in weights]).split(sizes)
        weights = tuple(part.view(weight.shape) for part, weight in zip(joined, weights, strict=True))
    # PyTorch's own layer is fused, by oneDNN on the CPU and by cuDNN on CUDA devices.
    zero = inputs.new_zeros(1, inputs.shape[1], weight_hh.shape[1])
    with plain_float32(inputs.device):
        return torch.lstm(inputs, (zero, zero), weights, True, 1, 0.0, torch.is_grad_enabled(), False, False)[0]


@contextmanager
def plain_float32(device: torch.device) -> Iterator[None]:
    """Let cuDNN multiply in float32 as all other products do, where it would by default round the factors."""
    before = None
    if device.type == "cuda":
        # PyTorch refuses to tell where its newer settings chose the precision; then that choice stands.
        with suppress(RuntimeError):
            before = torch.backends.cudnn.allow_tf32
    if before is None:
        yield
        return
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def lstm_sequence(inputs: Tensor, by_input: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """Outputs of a layer of every network of a population over a whole sequence, starting from zero states.

    Args:
        inputs: [M, positions, N, K], or [1, positions, N, K] for the same to all.
        by_input: weights [M, K, 4H]; weights and biases get no gradient.
        recurrent: weights [M, H, 4H].
        bias: [M, 1, 4H]. The cell gate of all three is doubled.

    Returns:
        Outputs [M, positions, N, H].
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
        new_cell, tanh_cell, new_output = torch.empty_like(cell), torch.empty_like(cell), torch.empty_like(cell)
        cell_forward(gates, cell, new_cell, tanh_cell, new_output)
        ctx.save_for_backward(inputs, output, cell, by_input, recurrent, gates, tanh_cell)
        ctx.gradients = gradients
        return new_output, new_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_output: Tensor, d_cell: Tensor) -> tuple[Tensor | None, ...]:
        inputs, output, cell, by_input, recurrent, gates, tanh_cell = ctx.saved_tensors
        d_gates, d_before = torch.empty_like(gates), torch.empty_like(cell)
        cell_backward(gates, cell, tanh_cell, d_output.contiguous(), d_cell.contiguous(), d_before, d_gates)
        if ctx.gradients is not None:
            ctx.gradients.record(inputs, output, d_gates)
        d_inputs = torch.matmul(d_gates, by_input.mT) if ctx.needs_input_grad[0] else None
        return d_inputs, torch.matmul(d_gates, recurrent.mT), d_before, None, None, None, None


class _Sequence(torch.autograd.Function):
    """All that does not wait for the step before is one product over all positions."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, by_input: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
        positions, rows = inputs.shape[1:3]
        models, hidden = recurrent.shape[:2]
        given = inputs.flatten(1, 2).expand(models, -1, -1)
        gates = torch.baddbmm(bias, given, by_input).unflatten(1, (positions, rows))
        cells = inputs.new_empty(models, positions, rows, hidden)
        tanh_cell, outputs = torch.empty_like(cells), torch.empty_like(cells)
        output, cell = None, inputs.new_zeros(models, rows, hidden)
        each = zip(*(tensor.unbind(1) for tensor in (gates, cells, tanh_cell, outputs)), strict=True)
        for gate, new_cell, tanh, new_output in each:
            if output is not None:
                torch.baddbmm(gate, output, recurrent, out=gate)
            cell_forward(gate, cell, new_cell, tanh, new_output)
            output, cell = new_output, new_cell
        ctx.save_for_backward(by_input, recurrent, gates, cells, tanh_cell)
        ctx.shared = len(inputs) == 1
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        by_input, recurrent, gates, cells, tanh_cell = ctx.saved_tensors
        to_output = recurrent.mT.contiguous()
        totals = d_outputs.clone(memory_format=torch.contiguous_format)
        d_gates, d_cell = torch.empty_like(gates), torch.zeros_like(cells[:, 0])
        befores = (torch.zeros_like(d_cell), *cells[:, :-1].unbind(1))
        each = zip(*(tensor.unbind(1) for tensor in (totals, gates, tanh_cell, d_gates)), befores, strict=True)
        d_next = None
        for total, gate, tanh, d_gate, before in reversed(list(each)):
            if d_next is not None:
                torch.baddbmm(total, d_next, to_output, out=total)
            cell_backward(gate, before, tanh, total, d_cell, d_cell, d_gate)
            d_next = d_gate
        d_inputs = torch.bmm(d_gates.flatten(1, 2), by_input.mT)
        if ctx.shared:
            d_inputs = d_inputs.sum(0, keepdim=True)
        return d_inputs.unflatten(1, gates.shape[1:3]), None, None, None
