"""One stack of one network forward: all edges between two groups of neurons, a receiver's row at a time.

A row and all that it is combined with stay in the first cache, so the edges themselves are read and written once.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.compiled.edge_kernels.places import add_to, clear, part_of, signs_at
from rnnzoo.compiled.edge_kernels.receiver import NewEdges, new_edges
from rnnzoo.compiled.vector_kernels.pointers import keep_positive, load_at, store_at
from rnnzoo.compiled.vector_kernels.vectors import LANES, splat

_BYTES = 4
_ZERO = np.float32(0.0)


@njit
def update_vector(job, columns, model):
    """ReLU of a vector's terms, `columns` numbers per neuron, and its mean."""
    neurons = job.receivers
    terms = part_of(job.receiver, model, neurons * job.receiver_row)
    shared = part_of(job.shared, model, job.shared_row)
    pool = part_of(job.by_receiver, model, neurons * job.by_receiver_row)
    mean = part_of(job.mean, model, job.mean_row)
    signs = job.positive + signs_at(model * neurons * columns)
    for column in range(0, columns, LANES):
        total = splat(_ZERO)
        for row in range(neurons):
            value = load_at(terms + _BYTES * (row * job.receiver_row + column)) + load_at(shared + _BYTES * column)
            value = keep_positive(signs + signs_at(row * columns + column), value)
            store_at(pool + _BYTES * (row * job.by_receiver_row + column), value)
            total = total + value
        store_at(mean + _BYTES * column, total * splat(np.float32(1.0 / neurons)))


@njit
def update_matrix(job, columns, model, scratch):
    """New edges of a network, where they are kept, their signs, their pools and the means of these.

    Args:
        job, columns, model: what `jobs` describes, D, and which network.
        scratch: address of room for two rows of D numbers.

    """
    receivers, senders, channels = job.receivers, job.senders, job.channels
    before, after = senders * channels, senders * columns
    edges = job.edges_near if job.edges_near else part_of(job.edges, model, receivers * before)
    kept = part_of(job.updated, model, receivers * after)
    near = job.updated_near
    signs = job.positive + signs_at(model * receivers * after)
    receiver = part_of(job.receiver, model, receivers * job.receiver_row)
    sender = part_of(job.sender, model, senders * job.sender_row)
    shared = part_of(job.shared, model, job.shared_row)
    by_receiver = part_of(job.by_receiver, model, receivers * job.by_receiver_row)
    by_sender = part_of(job.by_sender, model, senders * job.by_sender_row)
    diagonal = part_of(job.diagonal, model, receivers * job.diagonal_row)
    mean = part_of(job.mean, model, job.mean_row)
    diagonal_mean = part_of(job.diagonal_mean, model, job.mean_row)
    term, total = scratch, scratch + _BYTES * columns
    share, share_of_all = splat(np.float32(1.0 / senders)), splat(np.float32(1.0 / receivers))
    clear(by_sender, job.by_sender_row, senders, columns)
    clear(mean, columns, 1, columns)
    if diagonal:
        clear(diagonal_mean, columns, 1, columns)
    for row in range(receivers):
        for column in range(0, columns, LANES):
            both = load_at(receiver + _BYTES * column) + load_at(shared + _BYTES * column)
            store_at(term + _BYTES * column, both)
            store_at(total + _BYTES * column, splat(_ZERO))
        told = NewEdges(
            edges, channels, job.weight, _BYTES * columns, term, sender, _BYTES * job.sender_row, signs,
            kept, near, by_sender, _BYTES * job.by_sender_row, total, diagonal, row if diagonal else -1,
        )  # fmt: skip
        new_edges(senders, columns, told)
        for column in range(0, columns, LANES):
            own = load_at(total + _BYTES * column) * share
            store_at(by_receiver + _BYTES * column, own)
            add_to(mean + _BYTES * column, own * share_of_all)
            if diagonal:
                add_to(diagonal_mean + _BYTES * column, load_at(diagonal + _BYTES * column) * share_of_all)
        edges += _BYTES * before
        kept += _BYTES * after if kept else 0
        near += _BYTES * after if near else 0
        signs += signs_at(after)
        receiver += _BYTES * job.receiver_row
        by_receiver += _BYTES * job.by_receiver_row
        diagonal += _BYTES * job.diagonal_row if diagonal else 0
    for source in range(senders):
        for column in range(0, columns, LANES):
            pool = by_sender + _BYTES * (source * job.by_sender_row + column)
            store_at(pool, load_at(pool) * share_of_all)
