"""A graph network over neurons (after Kofinas et al., "Graph Neural Networks for Learning Equivariant Representations
of Neural Networks", 2024): neurons are nodes, connections are edges with the gates as features.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnzoo.encoders.parts.connections import Connections
from rnnzoo.encoders.parts.edges import NodeEmbedding, key_of, stack_channels, stack_tensors, uniform
from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows
from rnnzoo.networks.symmetry import Axes, symmetry_of


class GraphEncoder(Encoder):
    """Message passing along all connections, mean over each group of neurons, MLP. Permutation invariant.

    Args:
        channels: width of nodes and edges.
        rounds: rounds of message passing.
        hidden_size: hidden layer of the MLP.
    """

    mechanistic = True
    profiles: ClassVar = {"quick": {"channels": 16}}

    def __init__(self, context: Context, channels: int = 32, rounds: int = 3, hidden_size: int = 128) -> None:
        super().__init__(context)
        self.symmetry = symmetry_of(context.network)
        stacks = stack_channels(self.symmetry)
        self.matrices = [axes for axes in stacks if len(axes) == 2]
        groups = [group.name for group in self.symmetry.groups]
        self.embedding = NodeEmbedding(self.symmetry, channels)
        vectors = {axes[0]: size for axes, size in stacks.items() if len(axes) == 1}
        self.projection = nn.ModuleDict({group: nn.Linear(size, channels) for group, size in vectors.items()})
        edge_channels: dict[Axes, int] = {axes: stacks[axes] for axes in self.matrices}
        self.rounds = nn.ModuleList()
        for _ in range(rounds):
            self.rounds.append(_Round(groups, edge_channels, channels))
            edge_channels = dict.fromkeys(self.matrices, channels)
        self.mlp = mlp((2 * len(groups) * channels, hidden_size, context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        stacks = stack_tensors(self.symmetry, rows.weights)
        nodes = {}
        for group in self.symmetry.groups:
            parts = [self.projection[group.name](stacks[group.name,])] if group.name in self.projection else []
            embedding = self.embedding().get(group.name)
            parts += [] if embedding is None else [embedding.expand(len(rows), -1, -1)]
            nodes[group.name] = torch.stack(parts).sum(0)
        edges = {axes: stacks[axes] for axes in self.matrices}
        for one_round in self.rounds:
            nodes, edges = one_round(nodes, edges)
        pooled = [statistic for node in nodes.values() for statistic in (node.mean(1), node.square().mean(1))]
        return self.mlp(torch.cat(pooled, dim=-1))


class _Round(nn.Module):
    """Every edge is updated from itself and its two neurons, then every neuron from the means over its edges."""

    def __init__(self, groups: list[str], edge_channels: dict[Axes, int], channels: int) -> None:
        super().__init__()
        self.connections = Connections(tuple(groups), tuple(edge_channels), diagonals=False)
        self.edge = nn.ParameterDict({key_of(axes): uniform(size, channels) for axes, size in edge_channels.items()})
        self.receiver = nn.ModuleDict({key_of(axes): nn.Linear(channels, channels) for axes in edge_channels})
        self.sender = nn.ModuleDict({key_of(axes): nn.Linear(channels, channels) for axes in edge_channels})
        ends = {group: len(uses) for group, uses in self.connections.terms.items()}
        self.node = nn.ModuleDict({g: mlp((channels * (1 + ends[g]), channels, channels)) for g in groups})

    def forward(
        self, nodes: dict[str, Tensor], edges: dict[Axes, Tensor]
    ) -> tuple[dict[str, Tensor], dict[Axes, Tensor]]:
        """New nodes [M, size, C], and new edges [M, receivers, senders, C]."""
        weights = {axes: self.edge[key_of(axes)] for axes in edges}
        terms = {group: self._terms(group, node) for group, node in nodes.items()}
        passed = self.connections.update(edges, weights, terms)
        inputs = {group: torch.cat([node, passed.pools[group]], dim=-1) for group, node in nodes.items()}
        return {group: node + self.node[group](inputs[group]) for group, node in nodes.items()}, passed.edges

    def _terms(self, group: str, node: Tensor) -> Tensor:
        """What the neurons of a group add to all their edges, by one map, [M, size, uses * C]."""
        uses = self.connections.terms[group]
        maps = [(self.receiver, self.sender)[axis].get_submodule(key_of(axes)) for axes, axis in uses]
        weight, bias = (torch.cat([one.get_parameter(name) for one in maps]) for name in ("weight", "bias"))
        return nn.functional.linear(node, weight, bias)
