"""`Connections.update` in one compiled pass, forward and backward, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnzoo.compilation import PADDING, can_compile
from rnnzoo.symmetry import Axes
from rnnzoo.threads import in_parts, split

if TYPE_CHECKING:
    from rnnzoo.encoders.connections import Connections

LINE = 16
"""Numbers in a cache line."""
LEAST_WORK = 1 << 20
"""Numbers of the new edges below which a second thread costs more than it saves."""


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
) -> tuple[dict[Axes, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """New edges, pools and means; see `Connections.update`."""
    matrices, groups = connections.matrices, connections.groups
    tensors = [edges[axes] for axes in matrices] + [weights[axes] for axes in matrices] + [terms[g] for g in groups]
    results = iter(_Update.apply(connections, keep, shared, *tensors))
    updated = {axes: next(results) for axes in matrices if keep}
    return updated, {group: next(results) for group in groups}, {group: next(results) for group in groups}


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
        pools = [edges[0].new_empty(models, sizes[g], len(connections.pools[g]) * columns) for g in connections.groups]
        signs = [
            torch.empty(models * math.prod(sizes[group] for group in axes) * columns // 8, dtype=torch.uint8)
            for axes in connections.stacks
        ]
        table = _Jobs(connections, sizes, models, columns)
        table.of_matrices(jobs.EDGES, edges)
        table.of_matrices(jobs.WEIGHT, weights)
        table.of_matrices(jobs.UPDATED, updated)
        table.of_terms(terms, table.new_shared() if shared is None else shared.contiguous())
        table.of_pools(pools)
        table.of_stacks(jobs.POSITIVE, signs)
        table.run(update)
        ctx.connections, ctx.sizes, ctx.with_shared, ctx.signs = connections, sizes, shared is not None, signs
        ctx.save_for_backward(*edges, *weights)
        return *updated, *pools, *(values.mean(1) for values in pools)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        from rnnzoo.edge_kernels import jobs
        from rnnzoo.edge_kernels.population import retrace

        connections, sizes = ctx.connections, ctx.sizes
        matrices, groups = len(connections.matrices), len(connections.groups)
        edges, weights = ctx.saved_tensors[:matrices], ctx.saved_tensors[matrices:]
        models, columns = len(edges[0]), weights[0].shape[1]
        d_updated = [None if given is None else given.contiguous() for given in gradients[: -2 * groups]]
        d_pools = [None if given is None else given.contiguous() for given in gradients[-2 * groups : -groups]]
        d_means = [
            edges[0].new_zeros(models, len(connections.pools[group]) * columns) if given is None else given.contiguous()
            for group, given in zip(connections.groups, gradients[-groups:], strict=True)
        ]
        wanted = ctx.needs_input_grad[3 : 3 + matrices]
        d_edges = [torch.empty_like(values) if wants else None for values, wants in zip(edges, wanted, strict=True)]
        by_network = [weight.new_empty(models, *weight.shape) for weight in weights]
        d_terms = [
            edges[0].new_empty(models, sizes[g], len(connections.terms[g]) * columns) for g in connections.groups
        ]
        table = _Jobs(connections, sizes, models, columns)
        d_shared = table.new_shared()
        table.of_matrices(jobs.EDGES, edges)
        table.of_matrices(jobs.WEIGHT, [weight.t().contiguous() for weight in weights])
        table.of_matrices(jobs.UPDATED, d_updated)
        table.of_matrices(jobs.D_EDGES, d_edges)
        table.of_matrices(jobs.D_WEIGHT, by_network)
        table.of_terms(d_terms, d_shared)
        table.of_pools(d_pools)
        table.of_means(d_means)
        table.of_stacks(jobs.POSITIVE, ctx.signs)
        table.run(retrace)
        # NumPy adds the networks one after the other, however many threads there are.
        d_weights = [torch.from_numpy(weight.numpy().sum(0)) for weight in by_network]
        return None, None, d_shared if ctx.with_shared else None, *d_edges, *d_weights, *d_terms


class _Jobs:
    """The table of `rnnzoo.edge_kernels.jobs`, with a hold on all the tensors that it tells the addresses of."""

    def __init__(self, connections: Connections, sizes: Mapping[str, int], models: int, columns: int) -> None:
        from rnnzoo.edge_kernels import jobs

        self.fields, self.connections, self.models, self.columns = jobs, connections, models, columns
        self.table = np.zeros((len(connections.stacks), jobs.FIELDS), dtype=np.int64)
        self.rows = {axes: row for row, axes in enumerate(connections.stacks)}
        self.held: list[Tensor] = []
        for axes, row in self.rows.items():
            self.table[row, [jobs.RECEIVERS, jobs.SENDERS][: len(axes)]] = [sizes[group] for group in axes]

    def new_shared(self) -> Tensor:
        """Zeros [M, stacks * columns]."""
        return torch.zeros(self.models, len(self.rows) * self.columns)

    def of_stacks(self, field: int, tensors: Sequence[Tensor]) -> None:
        """One tensor per stack."""
        for row, tensor in enumerate(tensors):
            self._set(row, field, tensor)

    def of_matrices(self, field: int, tensors: Sequence[Tensor | None]) -> None:
        """One tensor per matrix, or none of it; for the edges, which say how many channels there are, all."""
        for axes, tensor in zip(self.connections.matrices, tensors, strict=False):
            if tensor is not None:
                self._set(self.rows[axes], field, tensor)
                if field == self.fields.EDGES:
                    self.table[self.rows[axes], self.fields.CHANNELS] = tensor.shape[-1]

    def of_terms(self, terms: Sequence[Tensor], shared: Tensor) -> None:
        """Terms of every group, and those that all edges of a stack share."""
        places = (self.fields.RECEIVER, self.fields.RECEIVER_ROW), (self.fields.SENDER, self.fields.SENDER_ROW)
        self._in_columns(self.connections.terms, terms, places)
        for row in range(len(self.table)):
            self._set(row, self.fields.SHARED, shared, row)
            self.table[row, self.fields.SHARED_ROW] = shared.shape[-1]

    def of_pools(self, pools: Sequence[Tensor | None]) -> None:
        """Pools of every group, where there are any."""
        jobs = self.fields
        places = (
            (jobs.BY_RECEIVER, jobs.BY_RECEIVER_ROW),
            (jobs.BY_SENDER, jobs.BY_SENDER_ROW),
            (jobs.DIAGONAL, jobs.DIAGONAL_ROW),
        )
        self._in_columns(self.connections.pools, pools, places)

    def of_means(self, means: Sequence[Tensor]) -> None:
        """Gradients of the means of the pools of every group."""
        jobs = self.fields
        places = (
            (jobs.RECEIVER_MEAN, jobs.BY_RECEIVER_ROW),
            (jobs.SENDER_MEAN, jobs.BY_SENDER_ROW),
            (jobs.DIAGONAL_MEAN, jobs.DIAGONAL_ROW),
        )
        self._in_columns(self.connections.pools, means, places)

    def run(self, kernel: Callable[..., object]) -> None:
        """Let a kernel go over all networks, which are split among PyTorch's threads."""
        jobs = self.fields
        receivers, senders = self.table[:, jobs.RECEIVERS], self.table[:, jobs.SENDERS]
        work = self.models * self.columns * int(receivers @ senders)
        count = min(torch.get_num_threads(), self.models, max(1, work // LEAST_WORK))

        def do(first: int, last: int) -> None:
            scratch = np.empty((2 * int(senders.max()) + 3) * self.columns + LINE, dtype=np.float32)
            kernel(self.table, self.columns, first, last, scratch)

        in_parts(split(self.models, count), do)

    def _in_columns(
        self,
        users: Mapping[str, list[tuple[Axes, int]]],
        tensors: Sequence[Tensor | None],
        places: Sequence[tuple[int, int]],
    ) -> None:
        for uses, tensor in zip(users.values(), tensors, strict=True):
            if tensor is None:
                continue
            for block, (axes, which) in enumerate(uses):
                field, row_length = places[which]
                self._set(self.rows[axes], field, tensor, block)
                self.table[self.rows[axes], row_length] = tensor.shape[-1]

    def _set(self, row: int, field: int, tensor: Tensor, block: int = 0) -> None:
        self.held.append(tensor)
        self.table[row, field] = tensor.data_ptr() + block * self.columns * tensor.element_size()
