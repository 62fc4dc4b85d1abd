"""One pass over all connections between two groups of neurons: what both weight-graph encoders are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rnnzoo.networks.symmetry import Axes, Symmetry


def stack_tensors(symmetry: Symmetry, weights: Tensor) -> dict[Axes, Tensor]:
    """The weights grouped by axes: every tensor between the same groups becomes channels of one.

    Args:
        symmetry: of the networks.
        weights: flat weights [M, P].

    Returns:
        By axes: [M, *group sizes, channels]. Both biases of an LSTM layer share one entry of 8 channels.
    """
    stacks: dict[Axes, list[Tensor]] = {}
    split = symmetry.split(weights)
    for tensor in symmetry.tensors:
        stacks.setdefault(tensor.axes, []).append(split[tensor.name].movedim(1, -1))
    return {axes: torch.cat(parts, dim=-1).contiguous() for axes, parts in stacks.items()}


def stack_channels(symmetry: Symmetry) -> dict[Axes, int]:
    """Channels of each entry of `stack_tensors`."""
    channels: dict[Axes, int] = {}
    for tensor in symmetry.tensors:
        channels[tensor.axes] = channels.get(tensor.axes, 0) + tensor.channels
    return channels


def pool_edges(edges: Tensor, square: bool) -> tuple[Tensor, ...]:
    """Means over senders and over receivers, and the diagonal if both are the same group.

    Args:
        edges: [M, receivers, senders, C].
        square: whether receivers and senders are the same group.

    Returns:
        [M, receivers, C], [M, senders, C] and, if square, [M, receivers, C].
    """
    means = edges.mean(2), edges.mean(1)
    return (*means, _diagonal(edges).contiguous()) if square else means


def update_edges(
    edges: Tensor, weight: Tensor, receiver: Tensor, sender: Tensor, square: bool = False
) -> tuple[Tensor, ...]:
    """ReLU of a linear map of every edge plus a term of its receiver and a term of its sender, and its pools.

    Args:
        edges: [M, receivers, senders, C].
        weight: [C, D].
        receiver: [M, receivers, D].
        sender: [M, senders, D].
        square: whether receivers and senders are the same group.

    Returns:
        New edges [M, receivers, senders, D], then what `pool_edges` makes of them.
    """
    return _UpdateEdges.apply(edges, weight, receiver, sender, square)


class NodeEmbedding(nn.Module):
    """Learned embeddings of the neurons that are not interchangeable, one set per group: [size, channels]."""

    def __init__(self, symmetry: Symmetry, channels: int) -> None:
        super().__init__()
        fixed = [group for group in symmetry.groups if not group.interchangeable]
        self.tables = nn.ParameterDict({g.name: nn.Parameter(0.1 * torch.randn(g.size, channels)) for g in fixed})

    def forward(self) -> dict[str, Tensor]:
        """The embeddings by name of the group."""
        return dict(self.tables.items())


class _UpdateEdges(torch.autograd.Function):
    """The edges fill most of the memory, so forward and backward each go over them as few times as possible."""

    @staticmethod
    def forward(
        ctx: Any, edges: Tensor, weight: Tensor, receiver: Tensor, sender: Tensor, square: bool
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        updated = receiver[:, :, None] + sender[:, None]
        updated.flatten(0, 2).addmm_(edges.flatten(0, 2), weight)
        updated.relu_()
        ctx.save_for_backward(edges, weight, updated)
        return updated, *pool_edges(updated, square)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_updated: Tensor | None, *d_pools: Tensor | None) -> tuple[Tensor | None, ...]:
        edges, weight, updated = ctx.saved_tensors
        receivers, senders = updated.shape[1:3]
        by_receiver, by_sender, by_diagonal = (*d_pools, None)[:3]
        terms = [] if d_updated is None else [d_updated]
        terms += [] if by_receiver is None else [(by_receiver / senders)[:, :, None]]
        terms += [] if by_sender is None else [(by_sender / receivers)[:, None]]
        # The first sum makes the memory that the others go into, which saves a pass over all edges.
        first, *others = terms or [updated.new_zeros(())]
        total = first + others.pop(0) if others else first.expand_as(updated).clone()
        for term in others:
            total.add_(term)
        if by_diagonal is not None:
            _diagonal(total).add_(by_diagonal)
        torch.ops.aten.threshold_backward.grad_input(total, updated, 0, grad_input=total)
        d_edges = torch.mm(total.flatten(0, 2), weight.t()).view_as(edges) if ctx.needs_input_grad[0] else None
        # One product over all edges would be the same, but where C is small it takes several times as long.
        d_weight = torch.bmm(edges.flatten(1, 2).transpose(1, 2), total.flatten(1, 2)).sum(0)
        return d_edges, d_weight, total.sum(2), total.sum(1), None


def uniform(rows: int, columns: int) -> nn.Parameter:
    """A weight [rows, columns] with the initialisation of `nn.Linear`."""
    return nn.Parameter(torch.empty(rows, columns).uniform_(-(rows**-0.5), rows**-0.5))


def key_of(axes: Axes) -> str:
    """The name of a stack's parameters."""
    return "_from_".join(axes)


def _diagonal(edges: Tensor) -> Tensor:
    """A view of every neuron's edge to itself, [M, neurons, C]."""
    return edges.diagonal(dim1=1, dim2=2).transpose(1, 2)
