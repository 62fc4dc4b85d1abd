"""`Connections.update` in one compiled pass, forward and backward, on the CPU."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnzoo.compilation import PADDING, can_compile
from rnnzoo.encoders.edge_jobs import LayerJobs, parts_of, run_layers
from rnnzoo.symmetry import Axes

if TYPE_CHECKING:
    from rnnzoo.encoders.connections import Connections


def can_fuse(edges: Collection[Tensor], weights: Collection[Tensor]) -> bool:
    """Whether `fused_update` takes these matrices and their weights, and Numba is there to compile it.

    Numbers are float32 on the CPU, new edges have a multiple of 16 channels, and so have edges that need a gradient.
    """
    fits = all(weight.shape[1] % PADDING == 0 for weight in weights)
    fits = fits and not any(e.requires_grad and e.shape[-1] % PADDING for e in edges)
    return fits and can_compile(*weights, *edges)


def fused_update(
    connections: Connections,
    edges: Mapping[Axes, Tensor],
    weights: Mapping[Axes, Tensor],
    terms: Mapping[str, Tensor],
    shared: Tensor | None,
    keep: bool,
) -> tuple[dict[Axes, Tensor], dict[str, Tensor], Tensor]:
    """New edges, pools and means; see `Connections.update`."""
    matrices, groups = connections.matrices, connections.groups
    tensors = [edges[axes] for axes in matrices] + [weights[axes] for axes in matrices] + [terms[g] for g in groups]
    results = iter(_Update.apply(connections, keep, shared, *tensors))
    updated = {axes: next(results) for axes in matrices if keep}
    return updated, {group: next(results) for group in groups}, next(results)


class _Update(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, connections: Connections, keep: bool, shared: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        from rnnzoo.edge_kernels import jobs
        from rnnzoo.edge_kernels.population import update

        ctx.set_materialize_grads(False)
        matrices = len(connections.matrices)
        tensors = tuple(tensor.contiguous() for tensor in tensors)
        edges, weights, terms = tensors[:matrices], tensors[matrices : 2 * matrices], tensors[2 * matrices :]
        models, columns = len(terms[0]), weights[0].shape[1]
        sizes = {group: term.shape[1] for group, term in zip(connections.groups, terms, strict=True)}
        updated = [values.new_empty(*values.shape[:3], columns) for values in edges if keep]
        table = LayerJobs(connections, sizes, models, [edge.shape[-1] for edge in edges], columns)
        pools, means, signs = table.new_pools(), table.new_means(), table.new_signs()
        table.of_matrices(jobs.EDGES, edges)
        table.of_matrices(jobs.WEIGHT, weights)
        table.of_matrices(jobs.UPDATED, updated)
        table.of_terms(terms, table.new_shared() if shared is None else shared.contiguous())
        table.of_pools(pools)
        table.of_means(means)
        table.of_stacks(jobs.POSITIVE, signs)
        run_layers(update, [table], forward=True)
        ctx.connections, ctx.sizes, ctx.with_shared, ctx.signs = connections, sizes, shared is not None, signs
        ctx.save_for_backward(*edges, *weights)
        return *updated, *pools, means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        from rnnzoo.edge_kernels import jobs
        from rnnzoo.edge_kernels.population import retrace

        connections, sizes = ctx.connections, ctx.sizes
        matrices, groups = len(connections.matrices), len(connections.groups)
        edges, weights = ctx.saved_tensors[:matrices], ctx.saved_tensors[matrices:]
        models, columns = len(edges[0]), weights[0].shape[1]
        *d_edges_and_pools, d_means = (None if given is None else given.contiguous() for given in gradients)
        d_updated, d_pools = d_edges_and_pools[:-groups], d_edges_and_pools[-groups:]
        wanted = ctx.needs_input_grad[3 : 3 + matrices]
        d_edges = [torch.empty_like(values) if wants else None for values, wants in zip(edges, wanted, strict=True)]
        by_part = [weight.new_empty(parts_of(models), *weight.shape) for weight in weights]
        table = LayerJobs(connections, sizes, models, [edge.shape[-1] for edge in edges], columns)
        d_terms, d_shared = table.new_terms(), table.new_shared()
        table.of_matrices(jobs.EDGES, edges)
        table.of_matrices(jobs.WEIGHT, [weight.t().contiguous() for weight in weights])
        table.of_matrices(jobs.UPDATED, d_updated)
        table.of_matrices(jobs.D_EDGES, d_edges)
        table.of_matrices(jobs.D_WEIGHT, by_part)
        table.of_terms(d_terms, d_shared)
        table.of_pools(d_pools)
        table.of_means(table.new_means().zero_() if d_means is None else d_means)
        table.of_stacks(jobs.POSITIVE, ctx.signs)
        run_layers(retrace, [table], forward=False)
        d_weights = [weight.sum(0) for weight in by_part]
        return None, None, d_shared if ctx.with_shared else None, *d_edges, *d_weights, *d_terms
