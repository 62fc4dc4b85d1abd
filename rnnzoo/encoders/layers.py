"""Small building blocks that several encoders share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from rnnzoo.recurrence import State, WeightGradients, Weights, double_cell_gate, lstm_layer, lstm_step


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given sizes with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class LSTMLayer(nn.Module):
    """One LSTM layer with PyTorch's initialisation and order of gates, and one bias."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [positions, N, H] for inputs [positions, N, K], from a zero state."""
        return lstm_layer(inputs, self.weight_ih, self.weight_hh, self.bias)

    def for_steps(self) -> Weights:
        """The weights in the form that `rnnzoo.recurrence.lstm_step` takes."""
        by_input, recurrent = (double_cell_gate(weight.t()).contiguous() for weight in (self.weight_ih, self.weight_hh))
        return by_input, recurrent, double_cell_gate(self.bias)


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
        self.weights: list[Weights] = []
        self.states: list[State] = []
        for layer, gradients in zip(core.layers, self.gradients, strict=True):
            weights = layer.for_steps()
            by_input, recurrent, bias = (weight.detach() for weight in weights)
            self.weights.append((by_input, recurrent, bias))
            self.states.append((zero, gradients.begin(weights, zero)))

    def step(self, inputs: Tensor) -> Tensor:
        """Outputs [N, H] for the next inputs [N, H]."""
        for index, weights in enumerate(self.weights):
            self.states[index] = lstm_step(inputs, self.states[index], weights, self.gradients[index])
            inputs = inputs + self.states[index][0]
        return inputs
