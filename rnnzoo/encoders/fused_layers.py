"""All equivariant layers of some networks, then of the next, in one compiled pass, forward and backward, on the CPU.

The edges of a few networks fit the cache: a layer finds there what the one before has made, and its gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnzoo.encoders.edge_jobs import LayerJobs, parts_of, run_layers
from rnnzoo.encoders.fused_edges import can_fuse
from rnnzoo.products import outer_products
from rnnzoo.symmetry import Axes

if TYPE_CHECKING:
    from rnnzoo.encoders.connections import Connections, Passed


class LayerWeights(NamedTuple):
    """What an equivariant layer has learned; `rnnzoo.encoders.dwsnet.EquivariantLayer` says what it is for.

    Args:
        own: of each matrix [C, D].
        neuron: of each group [uses * D, features].
        network, bias: [stacks * D, features of all groups] and [stacks * D].
        embeddings: of each group that has one, [N, at least uses * D].
    """

    own: Mapping[Axes, Tensor]
    neuron: Mapping[str, Tensor]
    network: Tensor
    bias: Tensor
    embeddings: Mapping[str, Tensor]

    def tensors(self, connections: Connections) -> list[Tensor]:
        """All of them, in the order in which `_Layers` takes them."""
        embeddings = [self.embeddings[group] for group in connections.groups if group in self.embeddings]
        own, neuron = (self.own[axes] for axes in connections.matrices), (self.neuron[g] for g in connections.groups)
        return [*own, *neuron, self.network, self.bias, *embeddings]


def can_fuse_layers(layers: Sequence[LayerWeights], passed: Passed) -> bool:
    """Whether `fused_layers` takes these layers, and Numba is there to compile it; the edges may need no gradient."""
    edges, weights = passed.edges.values(), [weight for layer in layers for weight in layer.own.values()]
    return can_fuse(edges, weights) and not any(edge.requires_grad for edge in edges)


def fused_layers(connections: Connections, layers: Sequence[LayerWeights], passed: Passed) -> dict[str, Tensor]:
    """The means of the pools after all layers, each with its ReLU: of each group [M, features].

    Args:
        connections: of every layer.
        layers: what they have learned.
        passed: what enters the first one; it gets no gradient.
    """
    tensors = [tensor for layer in layers for tensor in layer.tensors(connections)]
    embedded = tuple(group for group in connections.groups if group in layers[0].embeddings)
    return dict(
        zip(connections.groups, _Layers.apply(connections, len(layers), embedded, passed, *tensors), strict=True)
    )


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, connections: Connections, count: int, embedded: tuple[str, ...], passed: Passed, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        from rnnzoo.edge_kernels import jobs
        from rnnzoo.edge_kernels.population import update

        groups, matrices = connections.groups, connections.matrices
        layers = _gathered(connections, count, embedded, tensors)
        sizes = {group: passed.pools[group].shape[1] for group in groups}
        models, columns = len(passed.pools[groups[0]]), layers[0].own[matrices[0]].shape[1]
        edges = [passed.edges[axes].contiguous() for axes in matrices]
        pools, means = ([part[group].contiguous() for group in groups] for part in (passed.pools, passed.means))
        tables = [LayerJobs(connections, sizes, models, columns) for _ in layers]
        # The terms of a layer are used up before those of the next.
        terms, shared, kept = tables[0].new_terms(), tables[0].new_shared(), []
        for number, (layer, table) in enumerate(zip(layers, tables, strict=True)):
            updated = [values.new_empty(*values.shape[:3], columns) for values in edges if number < count - 1]
            new_pools, signs = table.new_pools(), table.new_signs()
            new_means = [values.new_empty(models, values.shape[-1]) for values in new_pools]
            table.of_matrices(jobs.EDGES, edges)
            table.of_matrices(jobs.WEIGHT, [layer.own[axes].contiguous() for axes in matrices])
            table.of_matrices(jobs.UPDATED, updated)
            table.of_terms(terms, shared)
            table.of_pools(new_pools)
            table.of_stacks(jobs.POSITIVE, signs)
            shares = layer.network.split([mean.shape[-1] for mean in means], dim=1)
            maps = iter([weight.t().contiguous() for weight in (*layer.neuron.values(), *shares)])
            for group, given, into, new, mean in zip(groups, pools, terms, new_pools, new_means, strict=True):
                start = layer.embeddings.get(group)
                start = start if start is None else start[:, : into.shape[-1]].contiguous()
                table.add_map(sizes[group], next(maps), into, given=given, start=start, new_pools=new, new_means=mean)
            for place, mean in enumerate(means):
                table.add_map(1, next(maps), shared, given=mean, start=layer.bias, added=place > 0)
            kept.append((edges, pools, means, signs))
            edges, pools, means = updated, new_pools, new_means
        run_layers(update, tables, forward=True)
        ctx.connections, ctx.embedded, ctx.sizes, ctx.kept = connections, embedded, sizes, kept
        ctx.save_for_backward(*tensors)
        return tuple(means)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_means: Tensor) -> tuple[Tensor | None, ...]:
        from rnnzoo.edge_kernels import jobs
        from rnnzoo.edge_kernels.population import retrace

        connections, sizes, kept = ctx.connections, ctx.sizes, ctx.kept
        groups, matrices = connections.groups, connections.matrices
        layers = _gathered(connections, len(kept), ctx.embedded, ctx.saved_tensors)
        models, columns = len(d_means[0]), layers[0].own[matrices[0]].shape[1]
        d_means = tuple(mean.contiguous() for mean in d_means)
        tables = [LayerJobs(connections, sizes, models, columns) for _ in layers]
        d_pools, d_means_between = tables[0].new_pools(), [torch.empty_like(mean) for mean in d_means]
        results, parts = [], parts_of(models)
        for number, (layer, table, (edges, pools, means, signs)) in enumerate(zip(layers, tables, kept, strict=True)):
            inner, last = number > 0, number == len(layers) - 1
            d_terms, d_shared = table.new_terms(), table.new_shared()
            by_part = [layer.own[axes].new_empty(parts, *layer.own[axes].shape) for axes in matrices]
            table.of_matrices(jobs.EDGES, edges)
            table.of_matrices(jobs.WEIGHT, [layer.own[axes].t().contiguous() for axes in matrices])
            table.of_matrices(jobs.D_WEIGHT, by_part)
            table.of_terms(d_terms, d_shared)
            table.of_pools([None if last else given for given in d_pools])
            table.of_means(d_means if last else d_means_between)
            table.of_stacks(jobs.POSITIVE, signs)
            shares = layer.network.split([mean.shape[-1] for mean in means], dim=1)
            maps = iter([weight.contiguous() for weight in (*layer.neuron.values(), *shares)])
            for group, flow, d_pool in zip(groups, d_terms, d_pools, strict=True):
                table.add_map(sizes[group], next(maps), flow, d_given=d_pool if inner else None)
            for d_mean in d_means_between:
                table.add_map(1, next(maps), d_shared, d_given=d_mean if inner else None)
            results.append((by_part, d_terms, d_shared, pools, means))
        run_layers(retrace, tables, forward=False)
        gradients: list[Tensor] = []
        for layer, (by_part, d_terms, d_shared, pools, means) in zip(layers, results, strict=True):
            gradients += [weight.sum(0) for weight in by_part]
            for flow, given in zip(d_terms, pools, strict=True):
                gradients.append(outer_products(flow.flatten(0, 1), given.flatten(0, 1)))
            gradients += [outer_products(d_shared, torch.cat(means, dim=-1)), d_shared.sum(0)]
            for group, flow in zip(groups, d_terms, strict=True):
                if group in layer.embeddings:
                    table_gradient = torch.zeros_like(layer.embeddings[group])
                    table_gradient[:, : flow.shape[-1]] = flow.sum(0)
                    gradients.append(table_gradient)
        return None, None, None, None, *gradients


def _gathered(
    connections: Connections, count: int, embedded: tuple[str, ...], tensors: Sequence[Tensor]
) -> list[LayerWeights]:
    """What `LayerWeights.tensors` took apart, of all layers."""
    size, layers = len(tensors) // count, []
    for start in range(0, len(tensors), size):
        rest = iter(tensors[start : start + size])
        own = {axes: next(rest) for axes in connections.matrices}
        neuron = {group: next(rest) for group in connections.groups}
        layers.append(LayerWeights(own, neuron, next(rest), next(rest), {group: next(rest) for group in embedded}))
    return layers
