"""One stack of one network: all edges between two groups of neurons, a receiver's row at a time, forward and back.

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
    D_EDGES,
    D_WEIGHT,
    DIAGONAL,
    DIAGONAL_MEAN,
    DIAGONAL_ROW,
    EDGES,
    POSITIVE,
    RECEIVER,
    RECEIVER_MEAN,
    RECEIVER_ROW,
    RECEIVERS,
    SENDER,
    SENDER_MEAN,
    SENDER_ROW,
    SENDERS,
    SHARED,
    SHARED_ROW,
    UPDATED,
    WEIGHT,
)
from rnnzoo.vector_kernels.gemm import multiply_and_fetch
from rnnzoo.vector_kernels.pointers import (
    BYTES_OF_SIGNS,
    load_at,
    prefetch,
    store_at,
    store_positive,
    stream_at,
    where_positive,
)
from rnnzoo.vector_kernels.vectors import LANES, at_least, multiply_add, splat

_BYTES = 4
_ZERO = np.float32(0.0)


@njit
def _part(job, field, model, size):
    """Address of a network's part of an array with `size` numbers per network, 0 if there is no array."""
    return job[field] + _BYTES * model * size if job[field] else 0


@njit
def _signs(at):
    """Where the signs of the vector that is `at` numbers into an array are, in bytes."""
    return at // LANES * BYTES_OF_SIGNS


@njit
def update_vector(job, columns, model):
    """ReLU of a vector's terms, `columns` numbers per neuron."""
    neurons = job[RECEIVERS]
    terms = _part(job, RECEIVER, model, neurons * job[RECEIVER_ROW])
    shared = _part(job, SHARED, model, job[SHARED_ROW])
    pool = _part(job, BY_RECEIVER, model, neurons * job[BY_RECEIVER_ROW])
    signs = job[POSITIVE] + _signs(model * neurons * columns)
    for row in range(neurons):
        for column in range(0, columns, LANES):
            value = load_at(terms + _BYTES * (row * job[RECEIVER_ROW] + column)) + load_at(shared + _BYTES * column)
            value = at_least(value, splat(_ZERO))
            store_positive(signs + _signs(row * columns + column), value)
            store_at(pool + _BYTES * (row * job[BY_RECEIVER_ROW] + column), value)


@njit
def retrace_vector(job, columns, model):
    """Back through `update_vector`."""
    neurons = job[RECEIVERS]
    d_terms = _part(job, RECEIVER, model, neurons * job[RECEIVER_ROW])
    d_shared = _part(job, SHARED, model, job[SHARED_ROW])
    d_pool = _part(job, BY_RECEIVER, model, neurons * job[BY_RECEIVER_ROW])
    d_mean = _part(job, RECEIVER_MEAN, model, job[BY_RECEIVER_ROW])
    signs = job[POSITIVE] + _signs(model * neurons * columns)
    for column in range(0, columns, LANES):
        total = splat(_ZERO)
        for row in range(neurons):
            flow = _flow_of_pool(d_pool, row * job[BY_RECEIVER_ROW] + column, d_mean, column, neurons)
            flow = where_positive(signs + _signs(row * columns + column), flow)
            store_at(d_terms + _BYTES * (row * job[RECEIVER_ROW] + column), flow)
            total = total + flow
        store_at(d_shared + _BYTES * column, total)


@njit
def update_matrix(job, columns, model, tile):
    """New edges of a network, where they are kept, their signs and their pools.

    Args:
        job, columns, model: what `jobs` describes, D, and which network.
        tile: address of scratch [senders, columns].

    """
    receivers, senders, channels = job[RECEIVERS], job[SENDERS], job[CHANNELS]
    receiver_row, sender_row = _BYTES * job[RECEIVER_ROW], _BYTES * job[SENDER_ROW]
    by_receiver_row, by_sender_row = _BYTES * job[BY_RECEIVER_ROW], _BYTES * job[BY_SENDER_ROW]
    diagonal_row = _BYTES * job[DIAGONAL_ROW]
    edges = _part(job, EDGES, model, receivers * senders * channels)
    updated = _part(job, UPDATED, model, receivers * senders * columns)
    signs = job[POSITIVE] + _signs(model * receivers * senders * columns)
    receiver = _part(job, RECEIVER, model, receivers * job[RECEIVER_ROW])
    sender = _part(job, SENDER, model, senders * job[SENDER_ROW])
    shared = _part(job, SHARED, model, job[SHARED_ROW])
    by_receiver = _part(job, BY_RECEIVER, model, receivers * job[BY_RECEIVER_ROW])
    by_sender = _part(job, BY_SENDER, model, senders * job[BY_SENDER_ROW])
    diagonal = _part(job, DIAGONAL, model, receivers * job[DIAGONAL_ROW])
    zero, share = splat(_ZERO), splat(np.float32(1.0 / senders))
    _clear(by_sender, job[BY_SENDER_ROW], senders, columns)
    for row in range(receivers):
        following = edges + _BYTES * senders * channels
        for column in range(0, columns, LANES):
            term = load_at(receiver + _BYTES * column) + load_at(shared + _BYTES * column)
            for source in range(senders):
                other = load_at(sender + source * sender_row + _BYTES * column)
                store_at(tile + _BYTES * (source * columns + column), term + other)
        multiply_and_fetch(
            senders, columns, channels, tile, columns, edges, channels, 1, job[WEIGHT], columns, True,
            following, _BYTES * senders * channels,
        )  # fmt: skip
        for column in range(0, columns, LANES):
            total = zero
            for source in range(senders):
                at = source * columns + column
                value = at_least(load_at(tile + _BYTES * at), zero)
                store_positive(signs + _signs(at), value)
                if updated:
                    store_at(tile + _BYTES * at, value)
                if diagonal and source == row:
                    store_at(diagonal + _BYTES * column, value)
                pool = by_sender + source * by_sender_row + _BYTES * column
                store_at(pool, load_at(pool) + value)
                total = total + value
            store_at(by_receiver + _BYTES * column, total * share)
        edges = following
        if updated:
            updated = _stream(tile, updated, senders * columns)
        signs += _signs(senders * columns)
        receiver += receiver_row
        by_receiver += by_receiver_row
        diagonal += diagonal_row if diagonal else 0
    share = splat(np.float32(1.0 / receivers))
    for source in range(senders):
        for column in range(0, columns, LANES):
            pool = by_sender + source * by_sender_row + _BYTES * column
            store_at(pool, load_at(pool) * share)


@njit
def retrace_matrix(job, columns, model, tile):
    """Back through `update_matrix`: gradients of terms and weight, and of the edges where they are asked for.

    Args:
        job, columns, model: as there.
        tile: address of scratch, two times [senders, columns], then [senders, channels].

    """
    receivers, senders, channels = job[RECEIVERS], job[SENDERS], job[CHANNELS]
    receiver_row, sender_row = _BYTES * job[RECEIVER_ROW], _BYTES * job[SENDER_ROW]
    edges = _part(job, EDGES, model, receivers * senders * channels)
    d_edges = _part(job, D_EDGES, model, receivers * senders * channels)
    d_updated = _part(job, UPDATED, model, receivers * senders * columns)
    d_weight = _part(job, D_WEIGHT, model, channels * columns)
    signs = job[POSITIVE] + _signs(model * receivers * senders * columns)
    d_receiver = _part(job, RECEIVER, model, receivers * job[RECEIVER_ROW])
    d_sender = _part(job, SENDER, model, senders * job[SENDER_ROW])
    d_shared = _part(job, SHARED, model, job[SHARED_ROW])
    by_receiver = _part(job, BY_RECEIVER, model, receivers * job[BY_RECEIVER_ROW])
    by_sender = _part(job, BY_SENDER, model, senders * job[BY_SENDER_ROW])
    diagonal = _part(job, DIAGONAL, model, receivers * job[DIAGONAL_ROW])
    receiver_mean = _part(job, RECEIVER_MEAN, model, job[BY_RECEIVER_ROW])
    sender_mean = _part(job, SENDER_MEAN, model, job[BY_SENDER_ROW])
    diagonal_mean = _part(job, DIAGONAL_MEAN, model, job[DIAGONAL_ROW])
    by_sender_shares = tile + _BYTES * senders * columns
    squares = job[DIAGONAL_ROW] > 0
    result = by_sender_shares + _BYTES * senders * columns
    share = splat(np.float32(1.0 / receivers))
    for source in range(senders):
        for column in range(0, columns, LANES):
            value = _flow_of_pool(by_sender, source * job[BY_SENDER_ROW] + column, sender_mean, column, senders)
            store_at(by_sender_shares + _BYTES * (source * columns + column), value * share)
    _clear(d_sender, job[SENDER_ROW], senders, columns)
    _clear(d_shared, columns, 1, columns)
    _clear(d_weight, columns, channels, columns)
    share = splat(np.float32(1.0 / senders))
    for row in range(receivers):
        following = edges + _BYTES * senders * channels
        for column in range(0, columns, LANES):
            by_row = share * _flow_of_pool(
                by_receiver, row * job[BY_RECEIVER_ROW] + column, receiver_mean, column, receivers
            )
            total = splat(_ZERO)
            for source in range(senders):
                at = source * columns + column
                flow = by_row + load_at(by_sender_shares + _BYTES * at)
                if d_updated:
                    flow = flow + load_at(d_updated + _BYTES * at)
                if squares and source == row:
                    at_diagonal = row * job[DIAGONAL_ROW] + column
                    flow = flow + _flow_of_pool(diagonal, at_diagonal, diagonal_mean, column, receivers)
                flow = where_positive(signs + _signs(at), flow)
                store_at(tile + _BYTES * at, flow)
                if d_updated and not d_edges:
                    # The product below is over too soon to fetch all of it.
                    prefetch(d_updated + _BYTES * (senders * columns + column * senders + source * LANES))
                to = d_sender + source * sender_row + _BYTES * column
                store_at(to, load_at(to) + flow)
                total = total + flow
            store_at(d_receiver + _BYTES * column, total)
            store_at(d_shared + _BYTES * column, load_at(d_shared + _BYTES * column) + total)
        coming, size = following, _BYTES * senders * channels
        if d_updated:
            d_updated += _BYTES * senders * columns
            coming, size = d_updated, _BYTES * senders * columns
        if d_edges:
            multiply_and_fetch(
                senders, channels, columns, result, channels, tile, columns, 1, job[WEIGHT], channels, False,
                coming, size,
            )  # fmt: skip
            d_edges = _stream(result, d_edges, senders * channels)
            coming, size = following, _BYTES * senders * channels
        multiply_and_fetch(
            channels, columns, senders, d_weight, columns, edges, 1, channels, tile, columns, True, coming, size
        )
        edges = following
        signs += _signs(senders * columns)
        d_receiver += receiver_row


@njit
def _flow_of_pool(pool, at, mean, mean_at, neurons):
    """Gradient of a pool at one place, from its own, if there is one, and that of its mean over neurons."""
    own = load_at(pool + _BYTES * at) if pool else splat(_ZERO)
    return multiply_add(load_at(mean + _BYTES * mean_at), splat(np.float32(1.0 / neurons)), own)


@njit
def _stream(source, target, size):
    """Copy so many numbers past the caches, which have better things to hold; the address behind them."""
    for at in range(0, size, LANES):
        stream_at(target + _BYTES * at, load_at(source + _BYTES * at))
    return target + _BYTES * size


@njit
def _clear(start, row_length, rows, columns):
    """Zeros in rows of `columns` numbers that are `row_length` apart."""
    for row in range(rows):
        for column in range(0, columns, LANES):
            store_at(start + _BYTES * (row * row_length + column), splat(_ZERO))
