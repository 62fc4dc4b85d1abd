"""What the compiled passes over connections are told, and how they are run: see `rnnzoo.compiled.edge_kernels.jobs`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.compiled.edge_kernels.jobs import MAP_JOB, STACK_JOB, MapJob
from rnnzoo.compiled.threads import in_parts
from rnnzoo.encoders.parts.connections import Connections
from rnnzoo.networks.symmetry import Axes

LINE = 16
"""Numbers in a cache line."""
LEAST_WORK = 1 << 20
"""Numbers of the new edges below which a second thread costs more than it saves."""
PART = 4
"""Networks whose gradients of weights are added up by one thread, however many threads there are."""


class LayerJobs:
    """The tables of one layer, with a hold on all the tensors that they tell the addresses of.

    Args:
        connections: what the layer goes over.
        sizes: neurons of each group.
        models: networks.
        channels: of the edges of each matrix.
        columns: channels of all new edges.
    """

    def __init__(
        self, connections: Connections, sizes: Mapping[str, int], models: int, channels: Sequence[int], columns: int
    ) -> None:
        self.connections, self.sizes, self.models, self.columns = connections, sizes, models, columns
        self.table = np.zeros(len(connections.stacks), STACK_JOB)
        self.rows = {axes: row for row, axes in enumerate(connections.stacks)}
        self.held: list[Tensor] = []
        self.maps: list[MapJob] = []
        for axes, row in self.rows.items():
            for field, group in zip(("receivers", "senders"), axes, strict=False):
                self.table[row][field] = sizes[group]
        for axes, count in zip(connections.matrices, channels, strict=True):
            self.table[self.rows[axes]]["channels"] = count

    def new_shared(self) -> Tensor:
        """Zeros [M, stacks * columns]."""
        return torch.zeros(self.models, len(self.rows) * self.columns)

    def new_terms(self) -> list[Tensor]:
        """Room for the terms of every group, [M, N, uses * columns]."""
        return self._per_neuron(self.connections.terms)

    def new_pools(self) -> list[Tensor]:
        """Room for the pools of every group, [M, N, pools * columns]."""
        return self._per_neuron(self.connections.pools)

    def new_means(self) -> Tensor:
        """Room for the means, [M, means * columns]."""
        return torch.empty(self.models, len(self.connections.means) * self.columns)

    def new_signs(self) -> list[Tensor]:
        """Room for a bit per new edge of every stack, uint8."""
        edges = [math.prod(self.sizes[group] for group in axes) for axes in self.connections.stacks]
        return [torch.empty(self.models * count * self.columns // 8, dtype=torch.uint8) for count in edges]

    def _per_neuron(self, users: Mapping[str, list[tuple[Axes, int]]]) -> list[Tensor]:
        return [torch.empty(self.models, self.sizes[g], len(uses) * self.columns) for g, uses in users.items()]

    def of_stacks(self, field: str, tensors: Sequence[Tensor]) -> None:
        """One tensor per stack."""
        for row, tensor in enumerate(tensors):
            self._set(row, field, tensor)

    def of_matrices(self, field: str, tensors: Sequence[Tensor | None]) -> None:
        """One tensor per matrix, or none of it."""
        for axes, tensor in zip(self.connections.matrices, tensors, strict=False):
            if tensor is not None:
                self._set(self.rows[axes], field, tensor)

    def of_terms(self, terms: Sequence[Tensor], shared: Tensor) -> None:
        """Terms of every group, and those that all edges of a stack share."""
        places = ("receiver", "receiver_row"), ("sender", "sender_row")
        self._in_columns(self.connections.terms, terms, places)
        self._in_stacks("shared", "shared_row", shared)

    def of_source(
        self, edges: Sequence[Tensor], weights: Sequence[Tensor], terms: Sequence[Tensor], shared: Tensor
    ) -> None:
        """What the layer before made its new edges from, which are the edges of this one."""
        for axes, edge, weight in zip(self.connections.matrices, edges, weights, strict=True):
            row = self.rows[axes]
            self._set(row, "source", edge)
            self._set(row, "source_weight", weight)
            self.table[row]["source_channels"] = edge.shape[-1]
        places = ("source_receiver", "source_receiver_row"), ("source_sender", "source_sender_row")
        self._in_columns(self.connections.terms, terms, places)
        self._in_stacks("source_shared", "source_shared_row", shared)

    def of_pools(self, pools: Sequence[Tensor | None]) -> None:
        """Pools of every group, where there are any."""
        places = ("by_receiver", "by_receiver_row"), ("by_sender", "by_sender_row"), ("diagonal", "diagonal_row")
        self._in_columns(self.connections.pools, pools, places)

    def of_means(self, means: Tensor) -> None:
        """The means [M, means * columns], back their gradient."""
        places = {0: "mean", 2: "diagonal_mean"}
        for block, (axes, which) in enumerate(self.connections.means):
            self._set(self.rows[axes], places[which], means, block)
            self.table[self.rows[axes]]["mean_row"] = means.shape[-1]

    def add_map(
        self,
        neurons: int,
        weight: Tensor,
        terms: Tensor,
        given: Tensor | None = None,
        d_given: Tensor | None = None,
        start: Tensor | None = None,
    ) -> None:
        """A linear map to terms.

        Args:
            neurons: of the group, or 1 for the whole network.
            weight: [features, columns], back [columns, features].
            terms: [M, neurons, columns], back its gradient.
            given, d_given: what is mapped [M, neurons, features], back its gradient if it is wanted.
            start: what the terms start from [neurons, columns], zero if there is none.
        """
        columns = terms.shape[-1]
        self.held += [tensor for tensor in (weight, terms, given, d_given, start) if tensor is not None]
        addresses = (0 if tensor is None else tensor.data_ptr() for tensor in (given, d_given, weight, terms, start))
        self.maps.append(MapJob(neurons, weight.numel() // columns, columns, *addresses))

    def _in_columns(
        self,
        users: Mapping[str, list[tuple[Axes, int]]],
        tensors: Sequence[Tensor | None],
        places: Sequence[tuple[str, str]],
    ) -> None:
        for uses, tensor in zip(users.values(), tensors, strict=True):
            if tensor is None:
                continue
            for block, (axes, which) in enumerate(uses):
                field, row_length = places[which]
                self._set(self.rows[axes], field, tensor, block)
                self.table[self.rows[axes]][row_length] = tensor.shape[-1]

    def _in_stacks(self, field: str, row_length: str, tensor: Tensor) -> None:
        for row in range(len(self.table)):
            self._set(row, field, tensor, row)
            self.table[row][row_length] = tensor.shape[-1]

    def _set(self, row: int, field: str, tensor: Tensor, block: int = 0) -> None:
        self.held.append(tensor)
        self.table[row][field] = tensor.data_ptr() + block * self.columns * tensor.element_size()


def run_layers(kernel: Callable[..., object], layers: Sequence[LayerJobs], forward: bool) -> None:
    """Let a kernel go through all layers of all networks, which are split among PyTorch's threads.

    Edges on their way from one layer to the next lie in memory that each thread uses again for its next networks.
    """
    first, table = layers[0], np.stack([layer.table for layer in layers])
    maps = np.array([layer.maps for layer in layers], MAP_JOB)
    models, columns = first.models, first.columns
    receivers, senders = table["receivers"][0], table["senders"][0]
    work = len(layers) * models * columns * int(receivers @ senders)

    # Whoever is done leaves its memory, which is in the cache of a core by then, to the next part.
    left: list[tuple[NDArray[np.void], list[NDArray[np.float32]], NDArray[np.float32]]] = []

    def do(start: int, end: int) -> None:
        if left:
            own = left.pop()
        else:
            passing = table.copy()
            own = passing, _pass_on(passing, columns, forward), _lines((3 * int(senders.max()) + 4) * columns)
        kernel(own[0], maps, columns, start, end, start // PART, own[2])
        left.append(own)

    parts = [(start, min(start + PART, models)) for start in range(0, models, PART)]
    if work < 2 * LEAST_WORK:
        for part in parts:
            do(*part)
    else:
        in_parts(parts, do)


def _pass_on(table: NDArray[np.void], columns: int, forward: bool) -> list[NDArray[np.float32]]:
    """Let each layer find near what the one before, or back the one behind, leaves there; the memory for that."""
    from rnnzoo.compiled.edge_kernels.blocks import WIDEST

    layers = len(table)
    sizes = table["receivers"][0] * table["senders"][0] * columns
    starts = np.concatenate([[0], sizes.cumsum()[:-1]]) * 4
    # New edges may take the place of the old ones if all columns of a block come at once; gradients always may.
    near = [_lines(int(sizes.sum())) for _ in range(1 if columns <= WIDEST or not forward else 2)]
    written, read = ("updated_near", "edges_near") if forward else ("d_edges_near", "updated_near")
    for step in range(layers - 1):
        layer, following = (step, step + 1) if forward else (layers - 1 - step, layers - 2 - step)
        addresses = np.where(sizes > 0, near[step % len(near)].ctypes.data + starts, 0)
        table[written][layer] = table[read][following] = addresses
    return near


def parts_of(models: int) -> int:
    """Into how many parts `run_layers` divides so many networks."""
    return -(-models // PART)


def _lines(count: int) -> NDArray[np.float32]:
    """Room for so many numbers that begins with a cache line."""
    room = np.empty(count + LINE, dtype=np.float32)
    start = -room.ctypes.data // room.itemsize % LINE
    return room[start : start + count]
