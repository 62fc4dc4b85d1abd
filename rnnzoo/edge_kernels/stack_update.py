"""One stack of one network forward: all edges between two groups of neurons, a receiver's row at a time.

A row and all that it is combined with stay in the first cache, so the edges themselves are read and written once.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.edge_kernels.jobs import (
    BY_RECEIVER,
    BY_RECEIVER_ROW,
    BY_SENDER,
    BY_SENDER_ROW,
    CHANNELS,
    DIAGONAL,
    DIAGONAL_MEAN,
    DIAGONAL_ROW,
    EDGES,
    EDGES_NEAR,
    MEAN,
    MEAN_ROW,
    POSITIVE,
    RECEIVER,
    RECEIVER_ROW,
    RECEIVERS,
    SENDER,
    SENDER_ROW,
    SENDERS,
    SHARED,
    SHARED_ROW,
    UPDATED,
    UPDATED_NEAR,
    WEIGHT,
)
from rnnzoo.edge_kernels.places import add_to, clear, part_of, signs_at
from rnnzoo.edge_kernels.receiver import NewEdges, new_edges
from rnnzoo.vector_kernels.pointers import keep_positive, load_at, store_at
from rnnzoo.vector_kernels.vectors import LANES, splat

_BYTES = 4
_ZERO = np.float32(0.0)


@njit
def update_vector(job, columns, model):
    """ReLU of a vector's terms, `columns` numbers per neuron, and its mean."""
    neurons = job[RECEIVERS]
    terms = part_of(job, RECEIVER, model, neurons * job[RECEIVER_ROW])
    shared = part_of(job, SHARED, model, job[SHARED_ROW])
    pool = part_of(job, BY_RECEIVER, model, neurons * job[BY_RECEIVER_ROW])
    mean = part_of(job, MEAN, model, job[MEAN_ROW])
    signs = job[POSITIVE] + signs_at(model * neurons * columns)
    for column in range(0, columns, LANES):
        total = splat(_ZERO)
        for row in range(neurons):
            value = load_at(terms + _BYTES * (row * job[RECEIVER_ROW] + column)) + load_at(shared + _BYTES * column)
            value = keep_positive(signs + signs_at(row * columns + column), value)
            store_at(pool + _BYTES * (row * job[BY_RECEIVER_ROW] + column), value)
            total = total + value
        store_at(mean + _BYTES * column, total * splat(np.float32(1.0 / neurons)))


@njit
def update_matrix(job, columns, model, scratch):
    """New edges of a network, where they are kept, their signs, their pools and the means of these.

    Args:
        job, columns, model: what `jobs` describes, D, and which network.
        scratch: address of room for two rows of D numbers.

    """
    receivers, senders, channels = job[RECEIVERS], job[SENDERS], job[CHANNELS]
    before, after = senders * channels, senders * columns
    edges = job[EDGES_NEAR] if job[EDGES_NEAR] else part_of(job, EDGES, model, receivers * before)
    kept = part_of(job, UPDATED, model, receivers * after)
    near = job[UPDATED_NEAR]
    signs = job[POSITIVE] + signs_at(model * receivers * after)
    receiver = part_of(job, RECEIVER, model, receivers * job[RECEIVER_ROW])
    sender = part_of(job, SENDER, model, senders * job[SENDER_ROW])
    shared = part_of(job, SHARED, model, job[SHARED_ROW])
    by_receiver = part_of(job, BY_RECEIVER, model, receivers * job[BY_RECEIVER_ROW])
    by_sender = part_of(job, BY_SENDER, model, senders * job[BY_SENDER_ROW])
    diagonal = part_of(job, DIAGONAL, model, receivers * job[DIAGONAL_ROW])
    mean = part_of(job, MEAN, model, job[MEAN_ROW])
    diagonal_mean = part_of(job, DIAGONAL_MEAN, model, job[MEAN_ROW])
    term, total = scratch, scratch + _BYTES * columns
    share, share_of_all = splat(np.float32(1.0 / senders)), splat(np.float32(1.0 / receivers))
    clear(by_sender, job[BY_SENDER_ROW], senders, columns)
    clear(mean, columns, 1, columns)
    if diagonal:
        clear(diagonal_mean, columns, 1, columns)
    for row in range(receivers):
        for column in range(0, columns, LANES):
            both = load_at(receiver + _BYTES * column) + load_at(shared + _BYTES * column)
            store_at(term + _BYTES * column, both)
            store_at(total + _BYTES * column, splat(_ZERO))
        told = NewEdges(
            edges, channels, job[WEIGHT], _BYTES * columns, term, sender, _BYTES * job[SENDER_ROW], signs,
            kept, near, by_sender, _BYTES * job[BY_SENDER_ROW], total, diagonal, row if diagonal else -1,
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
        receiver += _BYTES * job[RECEIVER_ROW]
        by_receiver += _BYTES * job[BY_RECEIVER_ROW]
        diagonal += _BYTES * job[DIAGONAL_ROW] if diagonal else 0
    for source in range(senders):
        for column in range(0, columns, LANES):
            pool = by_sender + _BYTES * (source * job[BY_SENDER_ROW] + column)
            store_at(pool, load_at(pool) * share_of_all)
