"""All equivariant layers of some networks, then of the next, in one compiled pass, forward and backward, on the CPU.

The edges of a few networks fit the cache: a layer finds there what the one before has made, and its gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnzoo.compiled.compilation import PADDING, can_compile
from rnnzoo.compiled.edge_jobs import LayerJobs, parts_of, run_layers
from rnnzoo.encoders.parts.connections import Connections, Passed
from rnnzoo.networks.symmetry import Axes


class LayerWeights(NamedTuple):
    """What an equivariant layer has learned; `rnnzoo.encoders.dwsnet.EquivariantLayer` says what it is for.

    Args:
        own: of each matrix [C, D].
        neuron: of each group [uses * D, features].
        network, bias: [stacks * D, features of the network] and [stacks * D].
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
    """Whether `fused_layers` takes these layers, and Numba is there to compile it.

    Numbers are float32 on the CPU, new edges have a multiple of 16 channels, and the first edges need no gradient.
    """
    edges, weights = passed.edges.values(), [weight for layer in layers for weight in layer.own.values()]
    fits = all(weight.shape[1] % PADDING == 0 for weight in weights) and not any(edge.requires_grad for edge in edges)
    return fits and can_compile(*weights, *edges)


def fused_layers(connections: Connections, layers: Sequence[LayerWeights], passed: Passed) -> Tensor:
    """The means after all layers, each with its ReLU, [M, features].

    Args:
        connections: of every layer.
        layers: what they have learned.
        passed: what enters the first one; it gets no gradient.
    """
    tensors = [tensor for layer in layers for tensor in layer.tensors(connections)]
    embedded = tuple(group for group in connections.groups if group in layers[0].embeddings)
    return _Layers.apply(connections, len(layers), embedded, passed, *tensors)


class _Kept(NamedTuple):
    """What the way back needs of a layer: what it was given, where its new edges were positive, and their terms."""

    edges: list[Tensor]
    pools: list[Tensor]
    means: Tensor
    signs: list[Tensor]
    terms: list[Tensor]
    shared: Tensor


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, connections: Connections, count: int, embedded: tuple[str, ...], passed: Passed, *tensors: Tensor
    ) -> Tensor:
        from rnnzoo.compiled.edge_kernels.networks_in_turn import update

        groups, matrices = connections.groups, connections.matrices
        layers = _gathered(connections, count, embedded, tensors)
        sizes = {group: passed.pools[group].shape[1] for group in groups}
        models, columns = len(passed.pools[groups[0]]), layers[0].own[matrices[0]].shape[1]
        edges = [passed.edges[axes].contiguous() for axes in matrices]
        pools, means = [passed.pools[group].contiguous() for group in groups], passed.means.contiguous()
        tables = _tables(connections, sizes, models, layers)
        kept: list[_Kept] = []
        for number, (layer, table) in enumerate(zip(layers, tables, strict=True)):
            # Few channels make the first new edges: back they are made again, row by row, rather than remembered.
            shapes = [passed.edges[axes].shape[:3] for axes in matrices if 0 < number < count - 1]
            updated = [pools[0].new_empty(*shape, columns) for shape in shapes]
            if number < 2:
                # The terms of later layers may use the same memory, one after the other.
                terms, shared = table.new_terms(), table.new_shared()
            new_pools, new_means, signs = table.new_pools(), table.new_means(), table.new_signs()
            table.of_matrices("edges", edges)
            table.of_matrices("weight", [layer.own[axes].contiguous() for axes in matrices])
            table.of_matrices("updated", updated)
            table.of_terms(terms, shared)
            table.of_pools(new_pools)
            table.of_means(new_means)
            table.of_stacks("positive", signs)
            for group, given, into in zip(groups, pools, terms, strict=True):
                start = layer.embeddings.get(group)
                start = start if start is None else start[:, : into.shape[-1]].contiguous()
                table.add_map(sizes[group], layer.neuron[group].t().contiguous(), into, given=given, start=start)
            table.add_map(1, layer.network.t().contiguous(), shared, given=means, start=layer.bias)
            kept.append(_Kept(edges, pools, means, signs, terms, shared))
            edges, pools, means = updated, new_pools, new_means
        run_layers(update, tables, forward=True)
        ctx.connections, ctx.embedded, ctx.sizes, ctx.kept = connections, embedded, sizes, kept
        ctx.save_for_backward(*tensors)
        return means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_means: Tensor) -> tuple[Tensor | None, ...]:
        from rnnzoo.compiled.edge_kernels.networks_in_turn import update_backward

        connections, sizes, kept = ctx.connections, ctx.sizes, ctx.kept
        groups, matrices = connections.groups, connections.matrices
        layers = _gathered(connections, len(kept), ctx.embedded, ctx.saved_tensors)
        models, d_means = len(d_means), d_means.contiguous()
        tables = _tables(connections, sizes, models, layers)
        d_pools, d_means_between = tables[0].new_pools(), torch.empty_like(d_means)
        results, parts = [], parts_of(models)
        for number, (layer, table, from_forward) in enumerate(zip(layers, tables, kept, strict=True)):
            inner, last = number > 0, number == len(layers) - 1
            d_terms, d_shared = table.new_terms(), table.new_shared()
            by_part = [layer.own[axes].new_empty(parts, *layer.own[axes].shape) for axes in matrices]
            table.of_matrices("edges", from_forward.edges)
            if number == 1:
                own = [layers[0].own[axes].contiguous() for axes in matrices]
                table.of_source(kept[0].edges, own, kept[0].terms, kept[0].shared)
            table.of_matrices("weight", [layer.own[axes].t().contiguous() for axes in matrices])
            table.of_matrices("d_weight", by_part)
            table.of_terms(d_terms, d_shared)
            table.of_pools([None if last else given for given in d_pools])
            table.of_means(d_means if last else d_means_between)
            table.of_stacks("positive", from_forward.signs)
            for group, d_term, d_pool in zip(groups, d_terms, d_pools, strict=True):
                map_back = layer.neuron[group].contiguous()
                table.add_map(sizes[group], map_back, d_term, d_given=d_pool if inner else None)
            table.add_map(1, layer.network.contiguous(), d_shared, d_given=d_means_between if inner else None)
            results.append((by_part, d_terms, d_shared, from_forward.pools, from_forward.means))
        run_layers(update_backward, tables, forward=False)
        pairs: list[tuple[Tensor, Tensor]] = []
        for _, d_terms, d_shared, pools, means in results:
            pairs += [(d_term.flatten(0, 1), given.flatten(0, 1)) for d_term, given in zip(d_terms, pools, strict=True)]
            pairs.append((d_shared, means))
        products, gradients = (d_term.t() @ given for d_term, given in pairs), list[Tensor]()
        for layer, (by_part, d_terms, d_shared, *_) in zip(layers, results, strict=True):
            gradients += [weight.sum(0) for weight in by_part]
            gradients += [next(products) for _ in range(len(groups) + 1)]
            gradients.append(d_shared.sum(0))
            for group, d_term in zip(groups, d_terms, strict=True):
                if group in layer.embeddings:
                    table_gradient = torch.zeros_like(layer.embeddings[group])
                    table_gradient[:, : d_term.shape[-1]] = d_term.sum(0)
                    gradients.append(table_gradient)
        return None, None, None, None, *gradients


def _tables(
    connections: Connections, sizes: Mapping[str, int], models: int, layers: Sequence[LayerWeights]
) -> list[LayerJobs]:
    weights = [[layer.own[axes] for axes in connections.matrices] for layer in layers]
    return [LayerJobs(connections, sizes, models, [len(one) for one in own], own[0].shape[1]) for own in weights]


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
