"""A population of LSTMs that answers inputs by PyTorch's batched products, on any device and in any precision."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnzoo.networks.network import Network
from rnnzoo.networks.recurrence import State, Weights, double_cell_gate, lstm_sequence, lstm_step

States = tuple[State, ...]


class PlainNetworks:
    """M networks that advance together, one batched product per layer and step.

    Args:
        network: their shape.
        weights: flat weights [M, P].
    """

    def __init__(self, network: Network, weights: Tensor) -> None:
        self.network, self.models = network, len(weights)
        tensors = network.unflatten(weights.detach())
        self._layers: list[Weights] = []
        for layer in range(network.layers):
            bias = tensors[f"bias_ih_l{layer}"] + tensors[f"bias_hh_l{layer}"]
            by_input, recurrent = (_by_input(tensors[f"weight_{kind}_l{layer}"]) for kind in ("ih", "hh"))
            self._layers.append((by_input, recurrent, double_cell_gate(bias)[:, None]))
        self._readout = tensors["linear.weight"].transpose(1, 2)
        self._readout_bias = tensors["linear.bias"][:, None]

    def start(self, rows: int) -> States:
        """Zero states for so many sequences per network."""
        zero = self._readout.new_zeros(self.models, rows, self.network.hidden_size)
        return ((zero, zero),) * self.network.layers

    def step(self, inputs: Tensor, states: States) -> tuple[Tensor, States]:
        """One input to every sequence, [M or 1, rows, input_size]: log-probabilities [M, rows, output_size], states."""
        hidden = inputs.expand(self.models, -1, -1)
        after = []
        for weights, before in zip(self._layers, states, strict=True):
            after.append(lstm_step(hidden, before, weights))
            hidden = after[-1][0]
        return torch.baddbmm(self._readout_bias, hidden, self._readout).log_softmax(-1), tuple(after)

    def run(self, inputs: Tensor) -> Tensor:
        """Whole sequences from zero states: [positions, M or 1, rows, input_size] to [M, positions, rows, output_size].

        Faster than step by step.
        """
        hidden = inputs.transpose(0, 1)
        for weights in self._layers:
            hidden = lstm_sequence(hidden, *weights)
        answers = torch.baddbmm(self._readout_bias, hidden.flatten(1, 2), self._readout).log_softmax(-1)
        return answers.unflatten(1, (len(inputs), -1))


def _by_input(weight: Tensor) -> Tensor:
    """Weights [M, 4H, K] as [M, K, 4H], contiguous: the form in which small batched products are fast."""
    return double_cell_gate(weight.transpose(1, 2)).contiguous()
