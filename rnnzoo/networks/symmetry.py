"""The permutation symmetry of the zoo's networks, declared once: which axis of which tensor belongs to which group.

Renumbering the hidden units of a layer changes the weights and not the function (paper section 2.1). Permutation
augmentation, the equivariant encoders and the tests of invariance all read this one declaration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnzoo.errors import UsageError
from rnnzoo.networks.network import GATES, Network

Axes = tuple[str, ...]
"""Names of the groups that the axes of a tensor run over, the receiving neuron first."""


@dataclass(frozen=True)
class Group:
    """Neurons of one kind.

    Args:
        name: "input", "output" or "hidden_l{layer}".
        size: number of neurons.
        interchangeable: whether renumbering them leaves the function as it is; inputs and outputs have fixed
            meanings, so they are not.
    """

    name: str
    size: int
    interchangeable: bool


@dataclass(frozen=True)
class TensorAxes:
    """One tensor of the network with its gates split off as channels.

    Args:
        name: PyTorch name, as in `Network.parameters`.
        channels: 4 for LSTM tensors, one per gate; 1 for the read-out.
        axes: name of the group that each remaining axis runs over, the receiving neuron first.
    """

    name: str
    channels: int
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Symmetry:
    """Groups of neurons and the tensors whose axes run over them; made by `symmetry_of`."""

    network: Network
    groups: tuple[Group, ...]
    tensors: tuple[TensorAxes, ...]

    def group(self, name: str) -> Group:
        """The group of a name."""
        return next(group for group in self.groups if group.name == name)

    def shape(self, tensor: TensorAxes) -> tuple[int, ...]:
        """Shape of a tensor with its gates split off: (channels, *group sizes)."""
        return (tensor.channels, *(self.group(axis).size for axis in tensor.axes))

    def split(self, weights: Any) -> dict[str, Any]:
        """Views of flat weights [..., P] by tensor name, each [..., channels, *group sizes]."""
        flat = self.network.unflatten(weights)
        lead = tuple(weights.shape[:-1])
        return {tensor.name: flat[tensor.name].reshape(lead + self.shape(tensor)) for tensor in self.tensors}

    def random_permutations(self, models: int, generator: np.random.Generator) -> dict[str, Tensor]:
        """An independent uniform permutation per model and interchangeable group: int64 [models, size] by group."""
        return {
            group.name: torch.from_numpy(generator.random((models, group.size)).argsort(axis=1))
            for group in self.groups
            if group.interchangeable
        }

    def source_index(self, permutations: Mapping[str, Tensor]) -> Tensor:
        """Where each value of the renumbered flat weights comes from: int64 [models, P].

        Args:
            permutations: int64 [models, size] by group; unit i of the result is unit permutation[i] of the
                original. Groups left out stay as they are.
        """
        first = next(iter(permutations.values()))
        models, device = len(first), first.device
        parts = []
        for parameter, tensor in zip(self.network.parameters(), self.tensors, strict=True):
            index = torch.arange(tensor.channels, device=device).expand(models, -1)
            for axis in tensor.axes:
                size = self.group(axis).size
                order = permutations.get(axis)
                order = torch.arange(size, device=device).expand(models, -1) if order is None else order
                index = index[..., None] * size + order.reshape(models, *[1] * (index.ndim - 1), size)
            parts.append(parameter.offset + index.reshape(models, -1))
        return torch.cat(parts, dim=1)

    def permute(self, weights: Tensor, permutations: Mapping[str, Tensor]) -> Tensor:
        """The same functions with their units renumbered, each model in its own way: flat weights [models, P]."""
        moved = {name: order.to(weights.device) for name, order in permutations.items()}
        return weights.gather(1, self.source_index(moved).expand(len(weights), -1))


@lru_cache
def symmetry_of(network: Network) -> Symmetry:
    """The symmetry of an LSTM with a linear read-out of its top layer (paper section 2.1 and appendix on DWSNet)."""
    hidden = [f"hidden_l{layer}" for layer in range(network.layers)]
    groups = (
        Group("input", network.input_size, False),
        *(Group(name, network.hidden_size, True) for name in hidden),
        Group("output", network.output_size, False),
    )
    tensors: list[TensorAxes] = []
    for layer, (below, here) in enumerate(zip(["input", *hidden], hidden, strict=False)):
        tensors += [
            TensorAxes(f"weight_ih_l{layer}", len(GATES), (here, below)),
            TensorAxes(f"weight_hh_l{layer}", len(GATES), (here, here)),
            TensorAxes(f"bias_ih_l{layer}", len(GATES), (here,)),
            TensorAxes(f"bias_hh_l{layer}", len(GATES), (here,)),
        ]
    tensors += [TensorAxes("linear.weight", 1, ("output", hidden[-1])), TensorAxes("linear.bias", 1, ("output",))]
    symmetry = Symmetry(network, groups, tuple(tensors))
    for parameter, tensor in zip(network.parameters(), tensors, strict=True):
        if parameter.name != tensor.name or parameter.size != math.prod(symmetry.shape(tensor)):
            raise UsageError(f"The symmetry does not describe {parameter.name} of {network.describe()}.")
    return symmetry
