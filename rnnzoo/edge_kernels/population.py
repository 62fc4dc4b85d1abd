"""Compiled passes over a population of networks: every stack of one network, then of the next."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from rnnzoo.edge_kernels.jobs import SENDERS
from rnnzoo.edge_kernels.sources import SOURCES
from rnnzoo.edge_kernels.stack import retrace_matrix, retrace_vector, update_matrix, update_vector
from rnnzoo.vector_kernels.vectors import address

LINE_BYTES = 64


@njit
def _start(scratch):
    """Address of the first whole cache line of an array."""
    start = address(scratch, 0)
    return start + (-start) % LINE_BYTES


def _compile(sources: str) -> tuple[Callable, Callable]:
    """The two entry points, cached on disk under the digest of all kernel sources."""

    @njit(cache=True, nogil=True)
    def update(jobs, columns, first, last, scratch):
        """New edges and pools of networks `first` to `last`.

        Args:
            jobs: int64 [stacks, FIELDS], see `jobs`.
            columns: channels of the new edges, a multiple of 16.
            first, last: which networks.
            scratch: float32, room for the new edges of two receivers and of three senders, and for a cache line.

        """
        assert sources
        tile = _start(scratch)
        for model in range(first, last):
            for index in range(len(jobs)):
                if jobs[index, SENDERS]:
                    update_matrix(jobs[index], columns, model, 0, tile)
                else:
                    update_vector(jobs[index], columns, model)

    @njit(cache=True, nogil=True)
    def retrace(jobs, columns, first, last, scratch):
        """Back through `update`, with the same arguments."""
        assert sources
        tile = _start(scratch)
        for model in range(first, last):
            for index in range(len(jobs)):
                if jobs[index, SENDERS]:
                    retrace_matrix(jobs[index], columns, model, 0, tile)
                else:
                    retrace_vector(jobs[index], columns, model)

    return update, retrace


update, retrace = _compile(SOURCES)
