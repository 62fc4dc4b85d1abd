"""Run a population of the zoo's networks as black boxes, step by step or over whole sequences, counting queries."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnzoo.errors import UsageError
from rnnzoo.network import Network
from rnnzoo.recurrence import State, Weights, double_cell_gate, lstm_sequence, lstm_step


class Prober:
    """M networks that answer inputs with log-probabilities; all that functionalist encoders may see of them.

    The whole population advances together, one batched product per layer and step. Gradients flow to the inputs,
    never to the networks' weights.

    Args:
        network: their shape.
        weights: flat weights [M, P].

    Attributes:
        queries: inputs each network has answered so far.
    """

    def __init__(self, network: Network, weights: Tensor) -> None:
        self.network = network
        self.models = len(weights)
        self.queries = 0
        tensors = network.unflatten(weights.detach())
        self._layers: list[Weights] = []
        for layer in range(network.layers):
            bias = tensors[f"bias_ih_l{layer}"] + tensors[f"bias_hh_l{layer}"]
            by_input, recurrent = (_by_input(tensors[f"weight_{kind}_l{layer}"]) for kind in ("ih", "hh"))
            self._layers.append((by_input, recurrent, double_cell_gate(bias)[:, None]))
        self._readout = tensors["linear.weight"].transpose(1, 2)
        self._readout_bias = tensors["linear.bias"][:, None]
        self._states: list[State] = []

    def start(self, probes: int = 1) -> None:
        """Begin `probes` parallel sequences per network, each from a zero state."""
        zero = self._readout.new_zeros(self.models, probes, self.network.hidden_size)
        self._states = [(zero, zero)] * self.network.layers

    def step(self, inputs: Tensor) -> Tensor:
        """Advance every sequence by one input.

        Args:
            inputs: [M, probes, input_size], or [1, probes, input_size] for the same to all networks.

        Returns:
            Log-probabilities [M, probes, output_size].

        Raises:
            UsageError: inputs of another shape, or `start` was not called.
        """
        if not self._states:
            raise UsageError("Call prober.start(probes) before prober.step: it sets the networks' states to zero.")
        probes = self._states[0][0].shape[1]
        self._check(inputs, (probes, self.network.input_size))
        self.queries += probes
        hidden = inputs.expand(self.models, -1, -1)
        for layer, weights in enumerate(self._layers):
            self._states[layer] = lstm_step(hidden, self._states[layer], weights)
            hidden = self._states[layer][0]
        return torch.baddbmm(self._readout_bias, hidden, self._readout).log_softmax(-1)

    def run(self, inputs: Tensor) -> Tensor:
        """Answers to whole sequences, each from a zero state; faster than step by step.

        Args:
            inputs: [M, probes, positions, input_size], or [1, ...] for the same to all networks.

        Returns:
            Log-probabilities [M, probes, positions, output_size].

        Raises:
            UsageError: inputs of another shape.
        """
        self._check(inputs, (-1, -1, self.network.input_size))
        probes, positions = inputs.shape[1:3]
        self.queries += probes * positions
        # Time runs first from here on, so that each step of the recurrence is one block of memory.
        hidden = inputs.permute(2, 0, 1, 3).contiguous()
        for weights in self._layers:
            hidden = lstm_sequence(hidden, *weights)
        hidden = hidden.transpose(0, 1).flatten(1, 2)
        answers = torch.baddbmm(self._readout_bias, hidden, self._readout).log_softmax(-1)
        return answers.unflatten(1, (positions, probes)).transpose(1, 2)

    def _check(self, inputs: Tensor, shape: tuple[int, ...]) -> None:
        fits = inputs.ndim == len(shape) + 1 and inputs.shape[0] in (1, self.models)
        if not fits or any(w not in (-1, n) for w, n in zip(shape, inputs.shape[1:], strict=True)):
            wanted = ", ".join("any" if size == -1 else str(size) for size in shape)
            raise UsageError(
                f"Probing inputs have shape {tuple(inputs.shape)}; give [{self.models} or 1, {wanted}] for "
                f"{self.models} networks of {self.network.describe()}."
            )


def _by_input(weight: Tensor) -> Tensor:
    """Weights [M, 4H, K] as [M, K, 4H], contiguous: the form in which small batched products are fast."""
    return double_cell_gate(weight.transpose(1, 2)).contiguous()
