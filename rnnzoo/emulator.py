"""The emulator: an LSTM that imitates a network of the zoo, told by z which one (paper section 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnzoo.encoders.layers import LSTMLayer, LSTMLayers
from rnnzoo.errors import UsageError
from rnnzoo.network import Network
from rnnzoo.recurrence import lstm_step

Z_ENTERS = ("first", "every")


class EmulatorState(NamedTuple):
    """Where a step-by-step emulation stands: what z adds next, then per layer outputs and cells [N, H]."""

    conditioning: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]


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
        self.enter = nn.Linear(network.input_size, hidden_size)
        self.condition = nn.Linear(z_size, hidden_size)
        self.layers = LSTMLayers(LSTMLayer(hidden_size, hidden_size) for _ in range(layers))
        self.leave = nn.Linear(hidden_size, network.output_size)

    def forward(self, z: Tensor, inputs: Tensor) -> Tensor:
        """Log-probabilities [positions, N, output_size].

        Args:
            z: [N, z_size].
            inputs: time first, [positions, N, input_size].
        """
        first, *others = self.layers
        # Two linear maps in a row are one: inputs are narrow, so the joined map saves a quarter of the work.
        by_input = first.weight[: first.input_size]
        joined = self.enter.weight.t() @ by_input
        bias = torch.addmv(first.bias, by_input.t(), self.enter.bias)
        projected = torch.addmm(bias, inputs.flatten(0, 1), joined).unflatten(0, inputs.shape[:2])
        conditioning = self.condition(self.z_gain * z) @ by_input
        if self.z_enters == "every":
            projected = projected + conditioning
        else:
            projected = torch.cat([(projected[0] + conditioning)[None], projected[1:]])
        hidden = first.recur(projected)
        for layer in others:
            hidden = layer(hidden)
        return self.leave(hidden).log_softmax(-1)

    def begin(self, z: Tensor) -> EmulatorState:
        """The state before the first input, for z [N, z_size]; see `advance`."""
        conditioning = self.condition(self.z_gain * z)
        zero = torch.zeros_like(conditioning)
        return EmulatorState(conditioning, ((zero, zero),) * len(self.layers))

    @torch.no_grad()
    def advance(self, inputs: Tensor, state: EmulatorState) -> tuple[Tensor, EmulatorState]:
        """One step without gradients, to sample from the emulator: inputs [N, input_size] -> log-probabilities."""
        hidden = self.enter(inputs) + state.conditioning
        states = []
        for layer, (output, cell) in zip(self.layers, state.layers, strict=True):
            states.append(lstm_step(torch.cat([hidden, output], dim=-1), cell, layer.weight, layer.bias))
            hidden = states[-1][0]
        stays = state.conditioning if self.z_enters == "every" else torch.zeros_like(state.conditioning)
        return self.leave(hidden).log_softmax(-1), EmulatorState(stays, tuple(states))
