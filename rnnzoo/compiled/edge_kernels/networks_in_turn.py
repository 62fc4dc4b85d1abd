"""Compiled passes over a population of networks: all layers of one, every stack of each, then the next network."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from rnnzoo.compiled.edge_kernels.neurons import map_neurons, map_neurons_back
from rnnzoo.compiled.edge_kernels.sources import SOURCES
from rnnzoo.compiled.edge_kernels.stack_backward import update_matrix_backward, update_vector_backward
from rnnzoo.compiled.edge_kernels.stack_update import update_matrix, update_vector
from rnnzoo.compiled.vector_kernels.vectors import address


def _compile(sources: str) -> tuple[Callable, Callable]:
    """The two entry points, cached on disk under the digest of all kernel sources."""

    @njit(cache=True, nogil=True)
    def update(jobs, maps, columns, first, last, part, scratch):
        """All layers of networks `first` to `last`.

        Args:
            jobs: `jobs.STACK_JOB` [layers, stacks].
            maps: `jobs.MAP_JOB` [layers, maps]; what comes before the edges of a layer.
            columns: channels of the new edges, a multiple of 16.
            first, last: which networks.
            part: the number of this part of the networks.
            scratch: float32, room for the edges of three receivers and of four senders, from a cache line on.

        """
        assert sources
        room = address(scratch, 0)
        for model in range(first, last):
            for layer in range(len(jobs)):
                map_neurons(maps[layer], model)
                for index in range(jobs.shape[1]):
                    if jobs[layer, index].senders:
                        update_matrix(jobs[layer, index], columns, model, room)
                    else:
                        update_vector(jobs[layer, index], columns, model)

    @njit(cache=True, nogil=True)
    def update_backward(jobs, maps, columns, first, last, part, scratch):
        """Back through `update`, with the same arguments."""
        assert sources
        room = address(scratch, 0)
        for model in range(first, last):
            for layer in range(len(jobs) - 1, -1, -1):
                for index in range(jobs.shape[1]):
                    if jobs[layer, index].senders:
                        update_matrix_backward(jobs[layer, index], columns, model, part, model > first, room)
                    else:
                        update_vector_backward(jobs[layer, index], columns, model)
                map_neurons_back(maps[layer], model)

    return update, update_backward


update, update_backward = _compile(SOURCES)
