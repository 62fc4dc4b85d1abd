"""DWSNet for LSTMs: permutation-equivariant linear layers over all weights (paper section 3.1; Navon et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnzoo.encoders.connections import Connections, Passed
from rnnzoo.encoders.edges import NodeEmbedding, key_of, stack_channels, stack_tensors, uniform
from rnnzoo.encoders.fused_layers import LayerWeights, can_fuse_layers, fused_layers
from rnnzoo.encoders.layers import mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows
from rnnzoo.products import linear
from rnnzoo.symmetry import Axes, Symmetry, symmetry_of


class DWSNetEncoder(Encoder):
    """Equivariant layers with ReLU between them, mean pooling per tensor, MLP. Permutation invariant.

    The four gates are channels, and so are both biases of a layer. There is no ReLU between the last equivariant
    layer and the pooling, so both are linear and the pooling is done first: the same numbers at a fraction of the work.

    Args:
        channels: width of every equivariant layer.
        layers: their number, at least 2.
        hidden_size: hidden layer of the MLP.
    """

    mechanistic = True
    profiles: ClassVar = {"quick": {"channels": 16}}

    def __init__(self, context: Context, channels: int = 48, layers: int = 4, hidden_size: int = 128) -> None:
        super().__init__(context)
        self.symmetry = symmetry_of(context.network)
        stacks = stack_channels(self.symmetry)
        before = [stacks] + [dict.fromkeys(stacks, channels)] * (layers - 1)
        self.layers = EquivariantLayers(EquivariantLayer(self.symmetry, sizes, channels) for sizes in before[:-1])
        self.last = PooledLayer(self.symmetry, before[-1], channels)
        self.mlp = mlp((len(stacks) * channels, hidden_size, context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        passed = self.last.connections.pool(stack_tensors(self.symmetry, rows.weights))
        learned = [layer.learned() for layer in self.layers]
        if can_fuse_layers(learned, passed):
            return self.mlp(self.last.pooled(fused_layers(self.last.connections, learned, passed)))
        for number, layer in enumerate(self.layers, start=1):
            passed = layer(passed, keep=number < len(self.layers))
        return self.mlp(self.last.pooled(passed.means))


class EquivariantLayer(nn.Module):
    """A linear map between weight spaces that commutes with renumbering hidden units, derived from the symmetry.

    An edge's output is a map of the edge itself, of the summaries of its two neurons and of the summary of the
    network. A neuron's summary joins its bias, the means over its edges in every tensor, and its edge to itself; the
    network's joins the mean of every tensor and of every such diagonal.

    Args:
        symmetry: of the networks.
        channels_in: by stack.
        channels_out: of every stack.
    """

    def __init__(self, symmetry: Symmetry, channels_in: dict[Axes, int], channels_out: int) -> None:
        super().__init__()
        self.channels_in = channels_in
        groups = tuple(group.name for group in symmetry.groups)
        self.connections = connections = Connections(groups, tuple(channels_in), diagonals=True)
        self.own = nn.ParameterDict({key_of(a): uniform(channels_in[a], channels_out) for a in connections.matrices})
        summary = {group: sum(channels_in[axes] for axes, _ in connections.pools[group]) for group in groups}
        # One map per group gives its terms for every axis of every stack that runs over it.
        columns = {group: channels_out * len(connections.terms[group]) for group in groups}
        self.neuron = nn.ModuleDict({g: nn.Linear(summary[g], columns[g], bias=False) for g in groups})
        features = sum(channels_in[axes] for axes, _ in connections.means)
        self.network = nn.Linear(features, channels_out * len(connections.stacks))
        self.embedding = NodeEmbedding(symmetry, max(columns.values()))

    def forward(self, passed: Passed, keep: bool = True) -> Passed:
        """The layer and a ReLU; the new edges are left out unless they are to be kept."""
        weights = {axes: self.own[key_of(axes)] for axes in self.connections.matrices}
        terms = self._terms(passed.pools, self.embedding())
        return self.connections.update(passed.edges, weights, terms, self.network(passed.means), keep)

    def learned(self) -> LayerWeights:
        """All that it has learned."""
        own = {axes: self.own[key_of(axes)] for axes in self.connections.matrices}
        neuron = {group: one.get_parameter("weight") for group, one in self.neuron.items()}
        return LayerWeights(own, neuron, self.network.weight, self.network.bias, self.embedding())

    def _terms(self, summaries: dict[str, Tensor], embeddings: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of every group, from summaries of its neurons and the embeddings of those that have one."""
        terms = {
            group: linear(summary, self.neuron[group].get_parameter("weight")) for group, summary in summaries.items()
        }
        return {g: t + embeddings[g][..., : t.shape[-1]] if g in embeddings else t for g, t in terms.items()}


class PooledLayer(EquivariantLayer):
    """An equivariant layer of whose output only the mean over each stack is wanted; takes the same arguments.

    Layer and mean are both linear, so together they are one linear map of the means of what enters, whose weight is
    put together from the layer's own at every call.
    """

    receiver_places: Tensor
    sender_places: Tensor
    own_places: Tensor

    def __init__(self, symmetry: Symmetry, channels_in: dict[Axes, int], channels_out: int) -> None:
        super().__init__(symmetry, channels_in, channels_out)
        connections, size = self.connections, self.network.weight.numel()
        places = torch.arange(size).view_as(self.network.weight).split(channels_out)
        ends = accumulate(channels_in[axes] for axes, _ in connections.means)
        columns = {
            (axes, which): torch.arange(end - channels_in[axes], end)
            for (axes, which), end in zip(connections.means, ends, strict=True)
        }
        for axis, name in enumerate(("receiver", "sender")):
            parts = []
            for rows, axes in zip(places, connections.stacks, strict=True):
                if axis < len(axes):
                    pools = connections.pools[axes[axis]]
                    # The mean of a stack's pool by sender is that by receiver again. What both add to one weight goes
                    # to two places, for sums over the same place come out in any order on a GPU.
                    parts += [rows[:, columns[stack, which & 2]] + which % 2 * size for stack, which in pools]
                    parts[-len(pools) :] = [torch.cat(parts[-len(pools) :], dim=1).flatten()]
            self.register_buffer(f"{name}_places", torch.cat(parts), persistent=False)
        own = [rows[:, columns[axes, 0]].t() for rows, axes in zip(places, connections.stacks, strict=True) if axes[1:]]
        self.register_buffer("own_places", torch.cat([part.flatten() for part in own]), persistent=False)

    def pooled(self, means: Tensor) -> Tensor:
        """The mean of the layer's output over each stack, [M, stacks * channels_out].

        Args:
            means: of its input, [M, features].
        """
        connections, learned = self.connections, self.learned()
        neuron = {group: learned.neuron[group].chunk(len(uses)) for group, uses in connections.terms.items()}
        weight = torch.stack((learned.network, torch.zeros_like(learned.network))).flatten()
        bias = list(learned.bias.chunk(len(connections.stacks)))
        for axis, places in enumerate((self.receiver_places, self.sender_places)):
            parts = []
            for stack, axes in enumerate(connections.stacks):
                if axis < len(axes):
                    use = connections.terms[axes[axis]].index((axes, axis))
                    parts.append(neuron[axes[axis]][use].flatten())
                    if (embedding := learned.embeddings.get(axes[axis])) is not None:
                        size = len(bias[stack])
                        bias[stack] = bias[stack] + embedding[:, use * size : (use + 1) * size].mean(0)
            weight.index_add_(0, places, torch.cat(parts))
        weight.index_add_(0, self.own_places, torch.cat([learned.own[axes].flatten() for axes in connections.matrices]))
        return linear(means, weight.view(2, *learned.network.shape).sum(0), torch.cat(bias))


class EquivariantLayers(nn.ModuleList):
    """A list of `EquivariantLayer`, known as such to type checkers."""

    def __iter__(self) -> Iterator[EquivariantLayer]:
        return super().__iter__()  # type: ignore[return-value]
