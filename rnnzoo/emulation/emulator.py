"""The emulator: an LSTM that imitates a network of the zoo, told by z which one (paper section 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnzoo.encoders.parts.layers import LSTMLayer, LSTMLayers
from rnnzoo.errors import UsageError
from rnnzoo.networks.network import Network
from rnnzoo.networks.recurrence import State, Weights, for_steps, lstm_layer, lstm_step

Z_ENTERS = ("first", "every")


class EmulatorState(NamedTuple):
    """Where a step-by-step emulation stands.

    Args:
        conditioning: what z adds to the next input, [N, H].
        layers: outputs and cells of each layer, [N, H].
        weights: of each layer, in the form that `rnnzoo.networks.recurrence.lstm_step` takes.
    """

    conditioning: Tensor
    layers: tuple[State, ...]
    weights: tuple[Weights, ...]


class Emulator(nn.Module):
    """LSTM stack on projected inputs, z added as a linear projection, linear read-out.

    Args:
        network: shape of the networks it imitates: the same inputs and outputs.
        z_size: numbers in z.
        hidden_size, layers: of the emulator.
        z_enters: "first", added to the first input only as in the paper, or "every", added to every input.
        z_gain: factor on z before its projection; z_size ** 0.5 brings the numbers of a unit vector to unit variance.

    Raises:
        UsageError: an unknown `z_enters`.
    """

    def __init__(
        self,
        network: Network,
        z_size: int = 16,
        hidden_size: int = 256,
        layers: int = 2,
        z_enters: str = "first",
        z_gain: float = 1.0,
    ) -> None:
        super().__init__()
        if z_enters not in Z_ENTERS:
            raise UsageError(f"z_enters={z_enters!r} is impossible: choose one of {', '.join(Z_ENTERS)}.")
        self.z_enters, self.z_gain = z_enters, z_gain
        self.projection = nn.Linear(network.input_size, hidden_size)
        self.condition = nn.Linear(z_size, hidden_size)
        self.layers = LSTMLayers(LSTMLayer(hidden_size, hidden_size) for _ in range(layers))
        self.leave = nn.Linear(hidden_size, network.output_size)

    def forward(self, z: Tensor, inputs: Tensor) -> Tensor:
        """Log-probabilities [positions, N, output_size].

        Args:
            z: [N, z_size].
            inputs: time first, [positions, N, input_size].
        """
        # A constant 1 appended to z brings the bias of z's projection to those inputs that z is added to.
        marked = torch.cat([self.z_gain * z, z.new_ones(len(z), 1)], dim=1)
        if self.z_enters == "every":
            entering = marked.expand(len(inputs), -1, -1)
        else:
            entering = torch.cat([marked[None], marked.new_zeros(len(inputs) - 1, *marked.shape)])
        first, *others = self.layers
        maps = [self.projection.weight, self.condition.weight, self.condition.bias[:, None]]
        joined = first.behind(torch.cat(maps, dim=1), self.projection.bias)
        hidden = lstm_layer(torch.cat([inputs, entering], dim=-1), *joined)
        for layer in others:
            hidden = layer(hidden)
        return self.leave(hidden).log_softmax(-1)

    @torch.no_grad()
    def begin(self, z: Tensor) -> EmulatorState:
        """The state before the first input, for z [N, z_size]; see `advance`."""
        conditioning = self.condition(self.z_gain * z)
        zero = torch.zeros_like(conditioning)
        weights = tuple(for_steps(*layer.weights) for layer in self.layers)
        return EmulatorState(conditioning, ((zero, zero),) * len(self.layers), weights)

    @torch.no_grad()
    def advance(self, inputs: Tensor, state: EmulatorState) -> tuple[Tensor, EmulatorState]:
        """One step without gradients, to sample from the emulator: inputs [N, input_size] -> log-probabilities."""
        hidden = self.projection(inputs) + state.conditioning
        states = []
        for before, weights in zip(state.layers, state.weights, strict=True):
            states.append(lstm_step(hidden, before, weights))
            hidden = states[-1][0]
        stays = state.conditioning if self.z_enters == "every" else torch.zeros_like(state.conditioning)
        return self.leave(hidden).log_softmax(-1), EmulatorState(stays, tuple(states), state.weights)
