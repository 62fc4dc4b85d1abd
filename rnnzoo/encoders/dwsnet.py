"""DWSNet for LSTMs: permutation-equivariant linear layers over all weights (paper section 3.1; Navon et al. 2023)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnzoo.encoders.edges import NodeEmbedding, pool_edges, stack_channels, stack_tensors, uniform, update_edges
from rnnzoo.encoders.layers import mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows
from rnnzoo.symmetry import Symmetry, symmetry_of

Axes = tuple[str, ...]


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
        self.layers = nn.ModuleList(EquivariantLayer(self.symmetry, sizes, channels) for sizes in before[:-1])
        self.last = EquivariantLayer(self.symmetry, before[-1], channels)
        self.mlp = mlp((len(stacks) * channels, hidden_size, context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        stacks = stack_tensors(self.symmetry, rows.weights)
        pools = {axes: pool(axes, values) for axes, values in stacks.items()}
        for layer in self.layers:
            stacks, pools = layer(stacks, pools)
        return self.mlp(self.last.pooled(pools))


class EquivariantLayer(nn.Module):
    """A linear map between weight spaces that commutes with renumbering hidden units, derived from the symmetry.

    An edge's output is a map of the edge itself, of the summaries of its two neurons and of the summary of the
    network. A neuron's summary joins its bias, the means over its edges in every tensor, and its edge to itself.

    Args:
        symmetry: of the networks.
        channels_in: by stack.
        channels_out: of every stack.
    """

    def __init__(self, symmetry: Symmetry, channels_in: dict[Axes, int], channels_out: int) -> None:
        super().__init__()
        self.symmetry, self.channels_out = symmetry, channels_out
        self.stacks = list(channels_in)
        matrices = [axes for axes in self.stacks if len(axes) == 2]
        self.own = nn.ParameterDict({_key(axes): uniform(channels_in[axes], channels_out) for axes in matrices})
        summary = {group.name: 0 for group in symmetry.groups}
        for axes in self.stacks:
            for group in axes + (axes[:1] if len(set(axes)) < len(axes) else ()):
                summary[group] += channels_in[axes]
        # One map per group gives its terms for every axis of every stack that runs over it.
        self.uses = {
            g.name: [(a, i) for a in self.stacks for i, n in enumerate(a) if n == g.name] for g in symmetry.groups
        }
        self.neuron = nn.ModuleDict(
            {name: nn.Linear(size, channels_out * len(self.uses[name]), bias=False) for name, size in summary.items()}
        )
        self.network = nn.Linear(sum(summary.values()), channels_out * len(self.stacks))
        embedded = channels_out * max(len(uses) for uses in self.uses.values())
        self.embedding = NodeEmbedding(symmetry, embedded)

    def terms(self, summaries: dict[str, Tensor], embeddings: dict[str, Tensor]) -> dict[tuple[Axes, int], Tensor]:
        """What each axis of each stack adds to its neurons, [M, N, channels_out] by stack and axis.

        Args:
            summaries: of the neurons of each group, [M, N, features].
            embeddings: of groups whose neurons are not interchangeable, [N, channels].
        """
        everything = torch.cat([summary.mean(1) for summary in summaries.values()], dim=-1)
        shared = dict(zip(self.stacks, self.network(everything).chunk(len(self.stacks), dim=-1), strict=True))
        terms = {}
        for group, uses in self.uses.items():
            mapped = self.neuron[group](summaries[group])
            if group in embeddings:
                mapped = mapped + embeddings[group][:, : mapped.shape[-1]]
            for (axes, axis), term in zip(uses, mapped.chunk(len(uses), dim=-1), strict=True):
                terms[axes, axis] = term + shared[axes][:, None] if axis == 0 else term
        return terms

    def forward(
        self, stacks: dict[Axes, Tensor], pools: dict[Axes, tuple[Tensor, ...]]
    ) -> tuple[dict[Axes, Tensor], dict[Axes, tuple[Tensor, ...]]]:
        """The layer and a ReLU: new stacks [M, *sizes, channels_out] and what `pool` makes of them."""
        terms = self.terms(self._summaries(pools), self.embedding())
        new_stacks: dict[Axes, Tensor] = {}
        new_pools: dict[Axes, tuple[Tensor, ...]] = {}
        for axes in self.stacks:
            if len(axes) == 1:
                new_stacks[axes] = terms[axes, 0].relu()
                new_pools[axes] = (new_stacks[axes],)
                continue
            terms_here = terms[axes, 0], terms[axes, 1]
            square = axes[0] == axes[1]
            new_stacks[axes], *pools_here = update_edges(stacks[axes], self.own[_key(axes)], *terms_here, square)
            new_pools[axes] = tuple(pools_here)
        return new_stacks, new_pools

    def pooled(self, pools: dict[Axes, tuple[Tensor, ...]]) -> Tensor:
        """The mean of the layer's output over each stack, without forming the output: [M, stacks * channels_out]."""
        summaries = {group: summary.mean(1, keepdim=True) for group, summary in self._summaries(pools).items()}
        embeddings = {group: embedding.mean(0, keepdim=True) for group, embedding in self.embedding().items()}
        terms, means = self.terms(summaries, embeddings), []
        for axes in self.stacks:
            mean = torch.cat([terms[axes, axis] for axis in range(len(axes))], dim=1).sum(1)
            means.append(mean if len(axes) == 1 else mean + pools[axes][0].mean(1) @ self.own[_key(axes)])
        return torch.cat(means, dim=-1)

    def _summaries(self, pools: dict[Axes, tuple[Tensor, ...]]) -> dict[str, Tensor]:
        parts: dict[str, list[Tensor]] = {group.name: [] for group in self.symmetry.groups}
        for axes in self.stacks:
            for group, part in zip((*axes, axes[0]), pools[axes], strict=False):
                parts[group].append(part)
        return {group: torch.cat(values, dim=-1) for group, values in parts.items()}


def pool(axes: Axes, values: Tensor) -> tuple[Tensor, ...]:
    """What a stack tells of its neurons: a vector itself, a matrix its means and diagonal."""
    return (values,) if len(axes) == 1 else pool_edges(values, axes[0] == axes[1])


def _key(axes: Axes) -> str:
    return "_from_".join(axes)
