"""All connections of a population of networks at once: what a layer of a weight-graph encoder goes over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from rnnzoo.encoders.parts.edges import pool_edges, update_edges
from rnnzoo.networks.symmetry import Axes


class Passed(NamedTuple):
    """What a pass over all connections leaves.

    Args:
        edges: of each matrix [M, receivers, senders, C].
        pools: what they tell of the neurons of each group, [M, N, features].
        means: the mean of each stack, and of each diagonal, [M, features].
    """

    edges: dict[Axes, Tensor]
    pools: dict[str, Tensor]
    means: Tensor


class Connections:
    """Which stacks of tensors there are, and where each finds its terms and leaves its pools.

    A stack is named by the groups that its axes run over: two for a matrix, the receivers first, one for a vector.

    Args:
        groups: names of all groups of neurons.
        stacks: what a pass goes over.
        diagonals: whether the edge of a neuron to itself is pooled beside the means over its edges.

    Attributes:
        terms: by group the stacks and axes that run over it, one after the other in the columns of its terms.
        pools: by group the stacks and their pools (0 mean over senders, 1 over receivers, 2 diagonal), likewise.
        means: the stacks and those of their pools whose mean over the neurons is taken, likewise.
    """

    def __init__(self, groups: tuple[str, ...], stacks: tuple[Axes, ...], diagonals: bool) -> None:
        self.groups, self.stacks = groups, stacks
        self.matrices: tuple[Axes, ...] = tuple(axes for axes in stacks if len(axes) == 2)
        self.squares = {axes for axes in self.matrices if diagonals and axes[0] == axes[1]}
        self.terms: dict[str, list[tuple[Axes, int]]] = {group: [] for group in groups}
        self.pools: dict[str, list[tuple[Axes, int]]] = {group: [] for group in groups}
        for axes in stacks:
            for axis, group in enumerate(axes):
                self.terms[group].append((axes, axis))
            for which, group in enumerate((*axes, axes[0]) if axes in self.squares else axes):
                self.pools[group].append((axes, which))
        self.means = [(axes, 0) for axes in stacks] + [(axes, 2) for axes in stacks if axes in self.squares]

    def update(
        self,
        edges: Mapping[Axes, Tensor],
        weights: Mapping[Axes, Tensor],
        terms: Mapping[str, Tensor],
        shared: Tensor | None = None,
    ) -> Passed:
        """ReLU of a linear map of every edge plus terms of its two neurons, and its pools; of a vector, of its terms.

        Args:
            edges: of each matrix [M, receivers, senders, C].
            weights: of each matrix [C, D].
            terms: of each group [M, N, uses * D], where `self.terms` says.
            shared: terms of all edges of a stack [M, stacks * D].
        """
        split = self.split_terms(terms, shared)
        updated: dict[Axes, Tensor] = {}
        pools: dict[Axes, tuple[Tensor, ...]] = {}
        for axes in self.stacks:
            if len(axes) == 1:
                pools[axes] = (split[axes, 0].relu(),)
                continue
            both = split[axes, 0], split[axes, 1]
            updated[axes], *others = update_edges(edges[axes], weights[axes], *both, axes in self.squares)
            pools[axes] = tuple(others)
        return Passed(updated, *self._gather(pools))

    def pool(self, stacks: Mapping[Axes, Tensor]) -> Passed:
        """Matrices [M, receivers, senders, C] and vectors [M, N, C] as they are, C of each stack its own."""
        edges = {axes: stacks[axes] for axes in self.matrices}
        pools = {axes: pool_edges(values, axes in self.squares) for axes, values in edges.items()}
        return Passed(edges, *self._gather({axes: pools.get(axes, (stacks[axes],)) for axes in self.stacks}))

    def split_terms(self, terms: Mapping[str, Tensor], shared: Tensor | None) -> dict[tuple[Axes, int], Tensor]:
        """The terms of each axis of each stack, [M, N, D]; those that all share are with the first axis'."""
        split: dict[tuple[Axes, int], Tensor] = {}
        for group, uses in self.terms.items():
            split |= dict(zip(uses, terms[group].chunk(len(uses), dim=-1), strict=True))
        if shared is not None:
            for axes, term in zip(self.stacks, shared.chunk(len(self.stacks), dim=-1), strict=True):
                split[axes, 0] = split[axes, 0] + term[:, None]
        return split

    def _gather(self, pools: Mapping[Axes, tuple[Tensor, ...]]) -> tuple[dict[str, Tensor], Tensor]:
        """Pools by group, and the means."""
        joined = {g: torch.cat([pools[axes][which] for axes, which in places], -1) for g, places in self.pools.items()}
        return joined, torch.cat([pools[axes][which].mean(1) for axes, which in self.means], -1)
