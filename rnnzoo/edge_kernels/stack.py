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
    D_EDGES_NEAR,
    D_WEIGHT,
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
    SOURCE,
    SOURCE_CHANNELS,
    SOURCE_RECEIVER,
    SOURCE_RECEIVER_ROW,
    SOURCE_SENDER,
    SOURCE_SENDER_ROW,
    SOURCE_SHARED,
    SOURCE_SHARED_ROW,
    SOURCE_WEIGHT,
    UPDATED,
    UPDATED_NEAR,
    WEIGHT,
)
from rnnzoo.edge_kernels.receiver import (
    EdgesAgain,
    Flow,
    NewEdges,
    OldEdges,
    edges_again,
    flow_of_gradients,
    flow_to_edges,
    new_edges,
)
from rnnzoo.vector_kernels.gemm import multiply_accumulate, multiply_and_fetch
from rnnzoo.vector_kernels.pointers import (
    BYTES_OF_SIGNS,
    keep_positive,
    load_at,
    store_at,
    where_positive,
)
from rnnzoo.vector_kernels.vectors import LANES, multiply_add, splat

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
    """ReLU of a vector's terms, `columns` numbers per neuron, and its mean."""
    neurons = job[RECEIVERS]
    terms = _part(job, RECEIVER, model, neurons * job[RECEIVER_ROW])
    shared = _part(job, SHARED, model, job[SHARED_ROW])
    pool = _part(job, BY_RECEIVER, model, neurons * job[BY_RECEIVER_ROW])
    mean = _part(job, MEAN, model, job[MEAN_ROW])
    signs = job[POSITIVE] + _signs(model * neurons * columns)
    for column in range(0, columns, LANES):
        total = splat(_ZERO)
        for row in range(neurons):
            value = load_at(terms + _BYTES * (row * job[RECEIVER_ROW] + column)) + load_at(shared + _BYTES * column)
            value = keep_positive(signs + _signs(row * columns + column), value)
            store_at(pool + _BYTES * (row * job[BY_RECEIVER_ROW] + column), value)
            total = total + value
        store_at(mean + _BYTES * column, total * splat(np.float32(1.0 / neurons)))


@njit
def retrace_vector(job, columns, model):
    """Back through `update_vector`."""
    neurons = job[RECEIVERS]
    d_terms = _part(job, RECEIVER, model, neurons * job[RECEIVER_ROW])
    d_shared = _part(job, SHARED, model, job[SHARED_ROW])
    d_pool = _part(job, BY_RECEIVER, model, neurons * job[BY_RECEIVER_ROW])
    d_mean = _part(job, MEAN, model, job[MEAN_ROW])
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
def update_matrix(job, columns, model, scratch):
    """New edges of a network, where they are kept, their signs, their pools and the means of these.

    Args:
        job, columns, model: what `jobs` describes, D, and which network.
        scratch: address of room for two rows of D numbers.

    """
    receivers, senders, channels = job[RECEIVERS], job[SENDERS], job[CHANNELS]
    before, after = senders * channels, senders * columns
    edges = job[EDGES_NEAR] if job[EDGES_NEAR] else _part(job, EDGES, model, receivers * before)
    kept = _part(job, UPDATED, model, receivers * after)
    near = job[UPDATED_NEAR]
    signs = job[POSITIVE] + _signs(model * receivers * after)
    receiver = _part(job, RECEIVER, model, receivers * job[RECEIVER_ROW])
    sender = _part(job, SENDER, model, senders * job[SENDER_ROW])
    shared = _part(job, SHARED, model, job[SHARED_ROW])
    by_receiver = _part(job, BY_RECEIVER, model, receivers * job[BY_RECEIVER_ROW])
    by_sender = _part(job, BY_SENDER, model, senders * job[BY_SENDER_ROW])
    diagonal = _part(job, DIAGONAL, model, receivers * job[DIAGONAL_ROW])
    mean = _part(job, MEAN, model, job[MEAN_ROW])
    diagonal_mean = _part(job, DIAGONAL_MEAN, model, job[MEAN_ROW])
    term, total = scratch, scratch + _BYTES * columns
    share, share_of_all = splat(np.float32(1.0 / senders)), splat(np.float32(1.0 / receivers))
    _clear(by_sender, job[BY_SENDER_ROW], senders, columns)
    _clear(mean, columns, 1, columns)
    if diagonal:
        _clear(diagonal_mean, columns, 1, columns)
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
            _add_to(mean + _BYTES * column, own * share_of_all)
            if diagonal:
                _add_to(diagonal_mean + _BYTES * column, load_at(diagonal + _BYTES * column) * share_of_all)
        edges += _BYTES * before
        kept += _BYTES * after if kept else 0
        near += _BYTES * after if near else 0
        signs += _signs(after)
        receiver += _BYTES * job[RECEIVER_ROW]
        by_receiver += _BYTES * job[BY_RECEIVER_ROW]
        diagonal += _BYTES * job[DIAGONAL_ROW] if diagonal else 0
    for source in range(senders):
        for column in range(0, columns, LANES):
            pool = by_sender + _BYTES * (source * job[BY_SENDER_ROW] + column)
            store_at(pool, load_at(pool) * share_of_all)


@njit
def retrace_matrix(job, columns, model, part, begun, scratch):
    """Back through `update_matrix`: gradients of terms and weight, and of the edges where they are asked for.

    Args:
        job, columns, model: as there.
        part: which part the network belongs to.
        begun: whether others of the part came before, to whose gradient of the weight is added.
        scratch: address of room for two times [senders, D], three rows of D numbers, and if edges are made again
            [senders, channels] and a row of as many.

    """
    receivers, senders, channels = job[RECEIVERS], job[SENDERS], job[CHANNELS]
    before, after = senders * channels, senders * columns
    edges = _part(job, EDGES, model, receivers * before)
    kept = _part(job, D_EDGES, model, receivers * before)
    near = job[D_EDGES_NEAR]
    given = job[UPDATED_NEAR] if job[UPDATED_NEAR] else _part(job, UPDATED, model, receivers * after)
    d_weight = _part(job, D_WEIGHT, part, channels * columns)
    signs = job[POSITIVE] + _signs(model * receivers * after)
    d_receiver = _part(job, RECEIVER, model, receivers * job[RECEIVER_ROW])
    d_sender = _part(job, SENDER, model, senders * job[SENDER_ROW])
    d_shared = _part(job, SHARED, model, job[SHARED_ROW])
    by_receiver = _part(job, BY_RECEIVER, model, receivers * job[BY_RECEIVER_ROW])
    mean = _part(job, MEAN, model, job[MEAN_ROW])
    flow, sender_shares = scratch, scratch + _BYTES * after
    receiver_share, total = scratch + 2 * _BYTES * after, scratch + _BYTES * (2 * after + columns)
    saved = total + _BYTES * columns
    made_term = saved + _BYTES * columns
    made = made_term + _BYTES * channels
    _clear(d_sender, job[SENDER_ROW], senders, columns)
    _clear(d_shared, columns, 1, columns)
    if not begun:
        _clear(d_weight, columns, channels, columns)
    _shares_of_senders(job, columns, model, sender_shares)
    share = splat(np.float32(1.0 / senders))
    for row in range(receivers):
        for column in range(0, columns, LANES):
            at = row * job[BY_RECEIVER_ROW] + column
            own = _flow_of_pool(by_receiver, at, mean, column, receivers)
            store_at(receiver_share + _BYTES * column, share * own)
            store_at(total + _BYTES * column, splat(_ZERO))
        own_shares = sender_shares + _BYTES * row * columns
        if job[DIAGONAL_MEAN]:
            _copy(own_shares, saved, columns)
            _add_flow_of_diagonal(job, columns, model, row, own_shares)
        told = Flow(
            _BYTES * columns, given, sender_shares, receiver_share, signs, flow,
            d_sender, _BYTES * job[SENDER_ROW], total,
        )  # fmt: skip
        flow_of_gradients(senders, columns, told)
        if job[DIAGONAL_MEAN]:
            _copy(saved, own_shares, columns)
        given += _BYTES * after if given else 0
        if kept or near:
            told = OldEdges(flow, columns, job[WEIGHT], _BYTES * channels, kept, near)
            flow_to_edges(senders, channels, told)
            kept += _BYTES * before if kept else 0
            near += _BYTES * before if near else 0
        for column in range(0, columns, LANES):
            value = load_at(total + _BYTES * column)
            store_at(d_receiver + _BYTES * column, value)
            _add_to(d_shared + _BYTES * column, value)
        if job[SOURCE]:
            _make_again(job, model, row, made_term, made)
            multiply_accumulate(
                channels, columns, senders, d_weight, columns, made, 1, channels, flow, columns, True
            )  # fmt: skip
        else:
            following = edges + _BYTES * before
            multiply_and_fetch(
                channels, columns, senders, d_weight, columns, edges, 1, channels, flow, columns, True,
                following, _BYTES * before,
            )  # fmt: skip
            edges = following
        signs += _signs(after)
        d_receiver += _BYTES * job[RECEIVER_ROW]


@njit
def _make_again(job, model, row, term, target):
    """The edges of one receiver [senders, channels], as the layer before made them.

    Args:
        job, model, row: which receiver of which stack and network.
        term: address of room for a number per channel.
        target: gets them.

    """
    receivers, senders, channels = job[RECEIVERS], job[SENDERS], job[CHANNELS]
    before = senders * job[SOURCE_CHANNELS]
    receiver = job[SOURCE_RECEIVER] + _BYTES * (model * receivers + row) * job[SOURCE_RECEIVER_ROW]
    shared = job[SOURCE_SHARED] + _BYTES * model * job[SOURCE_SHARED_ROW]
    for column in range(0, channels, LANES):
        store_at(term + _BYTES * column, load_at(receiver + _BYTES * column) + load_at(shared + _BYTES * column))
    told = EdgesAgain(
        job[SOURCE] + _BYTES * (model * receivers + row) * before, job[SOURCE_CHANNELS], job[SOURCE_WEIGHT],
        _BYTES * channels, term, job[SOURCE_SENDER] + _BYTES * model * senders * job[SOURCE_SENDER_ROW],
        _BYTES * job[SOURCE_SENDER_ROW], target,
    )  # fmt: skip
    edges_again(senders, channels, told)


@njit
def _shares_of_senders(job, columns, model, shares):
    """What the pools by sender add to the gradient of each of their edges, [senders, D]."""
    receivers, senders = job[RECEIVERS], job[SENDERS]
    by_sender = _part(job, BY_SENDER, model, senders * job[BY_SENDER_ROW])
    share = splat(np.float32(1.0 / receivers))
    for source in range(senders):
        for column in range(0, columns, LANES):
            value = splat(_ZERO)
            if by_sender:
                value = load_at(by_sender + _BYTES * (source * job[BY_SENDER_ROW] + column)) * share
            store_at(shares + _BYTES * (source * columns + column), value)


@njit
def _add_flow_of_diagonal(job, columns, model, row, target):
    """Add the gradient of a neuron's edge to itself by way of the diagonal's pool, [D]."""
    receivers = job[RECEIVERS]
    diagonal = _part(job, DIAGONAL, model, receivers * job[DIAGONAL_ROW])
    mean = _part(job, DIAGONAL_MEAN, model, job[MEAN_ROW])
    for column in range(0, columns, LANES):
        flow = _flow_of_pool(diagonal, row * job[DIAGONAL_ROW] + column, mean, column, receivers)
        _add_to(target + _BYTES * column, flow)


@njit
def _flow_of_pool(pool, at, mean, mean_at, neurons):
    """Gradient of a pool at one place, from its own, if there is one, and that of its mean over neurons."""
    own = load_at(pool + _BYTES * at) if pool else splat(_ZERO)
    return multiply_add(load_at(mean + _BYTES * mean_at), splat(np.float32(1.0 / neurons)), own)


@njit
def _add_to(place, value):
    """Add a vector to the one at an address."""
    store_at(place, load_at(place) + value)


@njit
def _copy(source, target, count):
    """Copy so many numbers."""
    for at in range(0, count, LANES):
        store_at(target + _BYTES * at, load_at(source + _BYTES * at))


@njit
def _clear(start, row_length, rows, columns):
    """Zeros in rows of `columns` numbers that are `row_length` apart."""
    for row in range(rows):
        for column in range(0, columns, LANES):
            store_at(start + _BYTES * (row * row_length + column), splat(_ZERO))
