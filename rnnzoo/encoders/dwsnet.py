"""DWSNet for LSTMs: permutation-equivariant linear layers over all weights (paper section 3.1; Navon et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnzoo.compiled.fused_layers import LayerWeights, can_fuse_layers, fused_layers
from rnnzoo.encoders.parts.connections import Connections, Passed
from rnnzoo.encoders.parts.edges import NodeEmbedding, key_of, stack_channels, stack_tensors, uniform
from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows
from rnnzoo.networks.symmetry import Axes, Symmetry, symmetry_of


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
        for layer in self.layers:
            passed = layer(passed)
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

    def forward(self, passed: Passed) -> Passed:
        """The layer and a ReLU."""
        weights = {axes: self.own[key_of(axes)] for axes in self.connections.matrices}
        terms = self._terms(passed.pools, self.embedding())
        return self.connections.update(passed.edges, weights, terms, self.network(passed.means))

    def learned(self) -> LayerWeights:
        """All that it has learned."""
        own = {axes: self.own[key_of(axes)] for axes in self.connections.matrices}
        neuron = {group: one.get_parameter("weight") for group, one in self.neuron.items()}
        return LayerWeights(own, neuron, self.network.weight, self.network.bias, self.embedding())

    def _terms(self, summaries: dict[str, Tensor], embeddings: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of every group, from summaries of its neurons and the embeddings of those that have one."""
        terms = {group: self.neuron[group](summary) for group, summary in summaries.items()}
        return {g: t + embeddings[g][..., : t.shape[-1]] if g in embeddings else t for g, t in terms.items()}


class PooledLayer(EquivariantLayer):
    """An equivariant layer of whose output only the mean over each stack is wanted; takes the same arguments.

    Layer and mean are both linear, so the mean of the output is what the layer makes of the means of its input.
    """

    def pooled(self, means: Tensor) -> Tensor:
        """The mean of the layer's output over each stack, [M, stacks * channels_out].

        Args:
            means: of its input, [M, features].
        """
        connections = self.connections
        sizes = [self.channels_in[axes] for axes, _ in connections.means]
        parts = dict(zip(connections.means, means.split(sizes, dim=-1), strict=True))
        # The mean over a group of either pool of a stack is the mean of the stack.
        pools = {
            group: torch.cat([parts[axes, 2 if which == 2 else 0] for axes, which in pooled], dim=-1)
            for group, pooled in connections.pools.items()
        }
        embeddings = {group: embedding.mean(0) for group, embedding in self.embedding().items()}
        terms = connections.split_terms(self._terms(pools, embeddings), None)
        outputs = []
        for axes in connections.stacks:
            own = [parts[axes, 0] @ self.own[key_of(axes)]] if axes in connections.matrices else []
            outputs.append(torch.stack([*own, *(terms[axes, axis] for axis in range(len(axes)))]).sum(0))
        return self.network(means) + torch.cat(outputs, dim=-1)


class EquivariantLayers(nn.ModuleList):
    """A list of `EquivariantLayer`, known as such to type checkers."""

    def __iter__(self) -> Iterator[EquivariantLayer]:
        return super().__iter__()  # type: ignore[return-value]
