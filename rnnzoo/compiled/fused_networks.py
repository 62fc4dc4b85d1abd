"""A population of LSTMs that answers inputs in one compiled pass, forward and backward, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnzoo.compiled.compilation import PADDING, can_compile
from rnnzoo.compiled.threads import in_parts, split
from rnnzoo.networks.network import Network

LEAST_WORK = 2048
"""Rows times positions below which a second thread costs more than it saves."""


def can_fuse(network: Network, weights: Tensor) -> bool:
    """Whether `FusedNetworks` takes networks of this shape with these weights, and Numba is there to compile it."""
    return network.hidden_size % PADDING == 0 and can_compile(weights)


def numbers(tensor: Tensor) -> NDArray[np.float32]:
    """The numbers of a tensor in a row, its own memory where it is contiguous."""
    return tensor.detach().contiguous().numpy().reshape(-1)


class FusedNetworks:
    """M networks in the form that the compiled kernels take.

    Args:
        network: their shape, hidden_size a multiple of 16.
        weights: flat weights [M, P], float32 on the CPU.
    """

    def __init__(self, network: Network, weights: Tensor) -> None:
        from rnnzoo.compiled.probing_kernels.probed_networks import pack

        self.network, self.models = network, len(weights)
        self.flat = numbers(weights)
        gates, padded = 4 * network.hidden_size, _padded(network.output_size)
        inputs_of_all = network.input_size + (network.layers - 1) * network.hidden_size
        self.packed_size = gates * (inputs_of_all + network.layers * (network.hidden_size + 1))
        self.packed_size += (network.hidden_size + 1) * padded
        self.packed = np.empty(self.models * self.packed_size, dtype=np.float32)
        sizes = self.sizes(1, 1, True)
        self.in_parts(1, lambda first, last: pack(sizes, first, last, self.flat, self.packed))

    def start(self, rows: int) -> Tensor:
        """Zero states [M, layers, 2, rows, H]: outputs and cells."""
        return torch.zeros(self.models, self.network.layers, 2, rows, self.network.hidden_size)

    def step(self, inputs: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """One input to every sequence, [M or 1, rows, input_size]: log-probabilities [M, rows, output_size], states."""
        answers, states = _Answer.apply(inputs[None], states, self)
        return answers[:, 0], states

    def run(self, inputs: Tensor) -> Tensor:
        """Whole sequences from zero states: [positions, M or 1, rows, input_size] to [M, positions, rows, output_size].

        Gradients reach the inputs.
        """
        return _Answer.apply(inputs, self.start(inputs.shape[2]), self)[0]

    def sizes(self, positions: int, rows: int, shared: bool) -> Any:
        """What the kernels are told of a call."""
        from rnnzoo.compiled.probing_kernels.packed_weights import ProbeSizes

        network = self.network
        return ProbeSizes(
            network.layers,
            network.input_size,
            network.hidden_size,
            network.output_size,
            _padded(network.input_size),
            _padded(network.output_size),
            network.parameter_count,
            self.packed_size,
            rows,
            positions,
            shared,
        )

    def in_parts(self, work: int, do: Callable[[int, int], object]) -> None:
        """Split the networks among as many threads as PyTorch has, if there is enough to do.

        Args:
            work: rows times positions of each network.
            do: called with the first network of a part and the first of the next.
        """
        in_parts(self.parts(work), do)

    def parts(self, work: int) -> list[tuple[int, int]]:
        """The first network of each thread's part and the first of the next; `work` as for `in_parts`."""
        count = min(torch.get_num_threads(), self.models, max(1, self.models * work // LEAST_WORK))
        return split(self.models, count)


class _Answer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, states: Tensor, networks: FusedNetworks) -> tuple[Tensor, Tensor]:
        from rnnzoo.compiled.probing_kernels.probed_networks import answer

        network, models = networks.network, networks.models
        positions, given_to, rows, _ = inputs.shape
        sizes = networks.sizes(positions, rows, given_to == 1)
        before = numbers(states)
        after = torch.empty(models, positions, network.layers, 2, rows, network.hidden_size)
        gates = np.empty(models * positions * network.layers * 5 * rows * network.hidden_size, dtype=np.float32)
        log_probs = torch.empty(models, positions, rows, sizes.padded_outputs)
        arrays = networks.packed, numbers(inputs), before, numbers(after), gates, numbers(log_probs)
        networks.in_parts(positions * rows, lambda first, last: answer(sizes, first, last, *arrays))
        ctx.sizes, ctx.networks, ctx.kept = sizes, networks, arrays[2:]
        return log_probs[..., : network.output_size], after[:, -1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_log_probs: Tensor, d_states: Tensor) -> tuple[Tensor | None, ...]:
        from rnnzoo.compiled.probing_kernels.probed_networks import answer_backward

        sizes, networks = ctx.sizes, ctx.networks
        shape = networks.models, sizes.positions, sizes.rows
        padded = torch.zeros(*shape, sizes.padded_outputs)
        padded[..., : sizes.outputs] = d_log_probs
        d_before = d_states.clone(memory_format=torch.contiguous_format)
        d_inputs = torch.empty(*shape, sizes.padded_inputs)
        arrays = networks.flat, *ctx.kept, numbers(padded), numbers(d_before), numbers(d_inputs)
        work = sizes.positions * sizes.rows
        networks.in_parts(work, lambda first, last: answer_backward(sizes, first, last, *arrays))
        by_network = d_inputs[..., : sizes.inputs].transpose(0, 1)
        return by_network.sum(1, keepdim=True) if sizes.shared else by_network, d_before, None


def _padded(size: int) -> int:
    return -(-size // PADDING) * PADDING
