"""Small building blocks that several encoders share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from rnnzoo.recurrence import WeightGradients, lstm_recurrence, lstm_step


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given sizes with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class LSTMLayer(nn.Module):
    """One LSTM layer, PyTorch's initialisation, one bias; gates ordered as in `rnnzoo.recurrence`."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        # One matrix for inputs and last outputs together, so that one product serves a step.
        self.weight = nn.Parameter(torch.empty(input_size + hidden_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [positions, N, H] for inputs [positions, N, K], from a zero state."""
        projected = torch.addmm(self.bias, inputs.flatten(0, 1), self.weight[: self.input_size])
        return self.recur(projected.unflatten(0, inputs.shape[:2]))

    def recur(self, projected: Tensor) -> Tensor:
        """Outputs [positions, N, H] for gate inputs [positions, N, 4H] that hold bias and inputs already."""
        return lstm_recurrence(projected, self.weight[self.input_size :])


class ResidualCore(nn.Module):
    """The probing encoders' LSTM stack, each layer's input added to its output (system section 6)."""

    def __init__(self, layers: int, hidden_size: int) -> None:
        super().__init__()
        self.layers = LSTMLayers(LSTMLayer(hidden_size, hidden_size) for _ in range(layers))
        self.hidden_size = hidden_size

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [positions, N, H] for inputs [positions, N, H]."""
        for layer in self.layers:
            inputs = inputs + layer(inputs)
        return inputs

    def session(self, models: int) -> CoreSession:
        """Begin stepping through sequences whose inputs are not known beforehand."""
        return CoreSession(self, models)


class LSTMLayers(nn.ModuleList):
    """A list of `LSTMLayer`, known as such to type checkers."""

    def __iter__(self) -> Iterator[LSTMLayer]:
        return super().__iter__()  # type: ignore[return-value]


class CoreSession:
    """A `ResidualCore` advanced step by step; the gradients of its weights are formed once at the end."""

    def __init__(self, core: ResidualCore, models: int) -> None:
        self.core = core
        zero = next(core.parameters()).new_zeros(models, core.hidden_size)
        self.gradients = [WeightGradients() for _ in core.layers]
        pairs = zip(core.layers, self.gradients, strict=True)
        self.states = [(zero, gradients.begin(layer.weight, layer.bias, zero)) for layer, gradients in pairs]

    def step(self, inputs: Tensor) -> Tensor:
        """Outputs [N, H] for the next inputs [N, H]."""
        for index, layer in enumerate(self.core.layers):
            output, cell = self.states[index]
            joined = torch.cat([inputs, output], dim=-1)
            weight, bias = layer.weight.detach(), layer.bias.detach()
            self.states[index] = lstm_step(joined, cell, weight, bias, self.gradients[index])
            inputs = inputs + self.states[index][0]
        return inputs
