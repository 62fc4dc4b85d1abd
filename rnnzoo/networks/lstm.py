"""Run the zoo's networks: one as a PyTorch module, or many at once from their flat weight vectors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnnzoo.errors import UsageError
from rnnzoo.networks.network import Network
from rnnzoo.networks.symmetry import symmetry_of

State = tuple[Tensor, Tensor]


class LSTMNetwork(nn.Module):
    """One network of a zoo as a PyTorch module: `nn.LSTM`, then a linear read-out of its top layer.

    Calling it gives log-probabilities, the quantity that zoos record.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.lstm = nn.LSTM(network.input_size, network.hidden_size, network.layers, batch_first=True)
        self.linear = nn.Linear(network.hidden_size, network.output_size)

    @classmethod
    def from_weights(cls, network: Network, weights: NDArray[np.float32]) -> LSTMNetwork:
        """The module whose parameters are a flat weight vector [P]."""
        module = cls(network)
        with torch.no_grad():
            for name, tensor in network.unflatten(weights).items():
                module.get_parameter(network.state_name(name)).copy_(torch.tensor(tensor))
        return module

    def flat_weights(self) -> NDArray[np.float32]:
        """All parameters as one flat vector, float32 [P], a copy."""
        parts = [
            self.get_parameter(self.network.state_name(p.name)).detach().flatten() for p in self.network.parameters()
        ]
        return torch.cat(parts).numpy()

    def forward(self, inputs: Tensor) -> Tensor:
        """Log-probabilities [batch, positions, output_size].

        Args:
            inputs: float [batch, positions, input_size], or integer tokens [batch, positions], made one-hot.
        """
        return torch.log_softmax(self.logits(inputs), dim=-1)

    def logits(self, inputs: Tensor) -> Tensor:
        """As `forward`, without the normalisation."""
        return self.advance(inputs, None)[0]

    def advance(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Logits of some more positions and the state after them, starting from `state` (zero if None)."""
        hidden, state = self.lstm(_dense(inputs, self.network.input_size, self.linear.weight.dtype), state)
        return self.linear(hidden), state


def run(network: Network, weights: Tensor, inputs: Tensor) -> Tensor:
    """Log-probabilities of many networks at once, each on sequences of its own or all on the same.

    Args:
        network: their shape.
        weights: flat weights [M, P].
        inputs: float [M or 1, batch, positions, input_size], or integer tokens [M or 1, batch, positions].

    Returns:
        Log-probabilities [M, batch, positions, output_size]; differentiable in weights and inputs.
    """
    return torch.log_softmax(run_logits(network, weights, inputs), dim=-1)


def run_logits(network: Network, weights: Tensor, inputs: Tensor) -> Tensor:
    """As `run`, without the normalisation."""
    tensors, hidden = network.unflatten(weights), _of_every_model(network, weights, inputs)
    for layer in range(network.layers):
        hidden = torch.stack(_run_layer(tensors, layer, hidden)[0], dim=2)
    return _read_out(tensors, hidden)


def run_with_states(network: Network, weights: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `run`, but answers with the hidden and the cell states as well.

    Returns:
        Log-probabilities [M, batch, positions, output_size]; hidden states and cell states of every layer after each
        position, [M, batch, positions, layers, hidden_size] each.
    """
    tensors, below = network.unflatten(weights), _of_every_model(network, weights, inputs)
    hidden, cells = [], []
    for layer in range(network.layers):
        outputs, layer_cells = _run_layer(tensors, layer, below)
        below = torch.stack(outputs, dim=2)
        hidden.append(below)
        cells.append(torch.stack(layer_cells, dim=2))
    log_probs = torch.log_softmax(_read_out(tensors, below), dim=-1)
    return log_probs, torch.stack(hidden, dim=3), torch.stack(cells, dim=3)


def _of_every_model(network: Network, weights: Tensor, inputs: Tensor) -> Tensor:
    """Inputs as vectors, [M, batch, positions, input_size]."""
    dense = _dense(inputs, network.input_size, weights.dtype)
    return dense.expand(weights.shape[0], *dense.shape[1:])


def _run_layer(tensors: dict[str, Tensor], layer: int, below: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and cell states of a layer at each position, [M, batch, hidden_size] each.

    Args:
        tensors: of all networks, [M, ...] by name.
        layer: its number.
        below: what it is fed, [M, batch, positions, width].
    """
    models, batch, positions, _ = below.shape
    bias = tensors[f"bias_ih_l{layer}"] + tensors[f"bias_hh_l{layer}"]
    projected = torch.baddbmm(
        bias[:, None], below.flatten(1, 2), tensors[f"weight_ih_l{layer}"].transpose(1, 2)
    ).unflatten(1, (batch, positions))
    recurrent = tensors[f"weight_hh_l{layer}"].transpose(1, 2)
    output = recurrent.new_zeros(models, batch, recurrent.shape[1])
    cell = torch.zeros_like(output)
    outputs, cells = [], []
    for position in range(positions):
        gates = torch.baddbmm(projected[:, :, position], output, recurrent)
        input_gate, forget_gate, cell_gate, output_gate = gates.chunk(4, dim=-1)
        cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * cell_gate.tanh()
        output = output_gate.sigmoid() * cell.tanh()
        outputs.append(output)
        cells.append(cell)
    return outputs, cells


def _read_out(tensors: dict[str, Tensor], hidden: Tensor) -> Tensor:
    """Logits [M, batch, positions, output_size] of the top layer's outputs."""
    logits = torch.baddbmm(
        tensors["linear.bias"][:, None], hidden.flatten(1, 2), tensors["linear.weight"].transpose(1, 2)
    )
    return logits.unflatten(1, hidden.shape[1:3])


def permute_hidden_units(
    network: Network, weights: NDArray[np.float32], permutations: list[NDArray[np.integer]]
) -> NDArray[np.float32]:
    """The same functions with their hidden units renumbered: outputs do not change, weights do.

    Args:
        network: shape of the networks.
        weights: flat weights [..., P].
        permutations: one permutation of range(hidden_size) per layer; unit i of the result is unit
            permutation[i] of the original.

    Returns:
        Flat weights [..., P], a copy.
    """
    if len(permutations) != network.layers:
        raise UsageError(f"{network.describe()} needs {network.layers} permutations, one per layer.")
    orders = {f"hidden_l{layer}": torch.from_numpy(np.array(p))[None] for layer, p in enumerate(permutations)}
    return weights[..., symmetry_of(network).source_index(orders)[0].numpy()]


def _dense(inputs: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Tokens as one-hot vectors; vectors as they are."""
    if inputs.is_floating_point():
        if inputs.shape[-1] != size:
            raise UsageError(f"Inputs have {inputs.shape[-1]} values per position; these networks take {size}.")
        return inputs
    try:
        return nn.functional.one_hot(inputs.long(), size).to(dtype)
    except RuntimeError as error:
        raise UsageError(f"Some tokens are outside the vocabulary of these networks, 0..{size - 1}.") from error
