"""Small building blocks that several encoders share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from rnnzoo.networks.recurrence import LayerWeights, State, WeightGradients, Weights, for_steps, lstm_layer, lstm_step


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
        return lstm_layer(inputs, *self.weights)

    def behind(self, weight: Tensor, bias: Tensor) -> LayerWeights:
        """The layer's weights for inputs [.., J] that reach it by way of a linear map, weight [K, J] and bias [K].

        Linear maps in a row are one: where J is small, the joined map saves a quarter of the layer's work.
        """
        return self.weight_ih @ weight, self.weight_hh, torch.addmv(self.bias, self.weight_ih, bias)

    @property
    def weights(self) -> LayerWeights:
        """Input weights [4H, K], recurrent weights [4H, H] and bias [4H]."""
        return self.weight_ih, self.weight_hh, self.bias


class ResidualCore(nn.Module):
    """The probing encoders' LSTM stack on a linear map of its inputs, each layer's input added to its output.

    Inputs [N, K] are mapped to the layers' [N, H] (paper section 3.2).
    """

    def __init__(self, layers: int, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(input_size, hidden_size)
        self.layers = LSTMLayers(LSTMLayer(hidden_size, hidden_size) for _ in range(layers))
        self.hidden_size = hidden_size

    def layer_weights(self) -> list[LayerWeights]:
        """The weights of each layer, the first one's for inputs before the projection."""
        first, *others = self.layers
        return [first.behind(self.projection.weight, self.projection.bias), *(layer.weights for layer in others)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [positions, N, H] for inputs [positions, N, K]."""
        given, added = inputs, self.projection(inputs)
        for weights in self.layer_weights():
            given = added = added + lstm_layer(given, *weights)
        return given

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
        zero = core.projection.bias.new_zeros(models, core.hidden_size)
        self.gradients = [WeightGradients() for _ in core.layers]
        self.weights: list[Weights] = []
        self.states: list[State] = []
        for layer_weights, gradients in zip(core.layer_weights(), self.gradients, strict=True):
            weights = for_steps(*layer_weights)
            by_input, recurrent, bias = (weight.detach() for weight in weights)
            self.weights.append((by_input, recurrent, bias))
            self.states.append((zero, gradients.begin(weights, zero)))

    def step(self, inputs: Tensor) -> Tensor:
        """Outputs [N, H] for the next inputs [N, K]."""
        given, added = inputs, self.core.projection(inputs)
        for index, weights in enumerate(self.weights):
            self.states[index] = lstm_step(given, self.states[index], weights, self.gradients[index])
            given = added = added + self.states[index][0]
        return given
