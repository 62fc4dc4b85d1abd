"""Back through one stack of one network: gradients of terms, weight and the edges before, a receiver at a time."""

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
from rnnzoo.edge_kernels.places import add_to, clear, copy, part_of, signs_at
from rnnzoo.edge_kernels.receiver import Flow, NewEdges, OldEdges, edges_again, flow_of_gradients, flow_to_edges
from rnnzoo.vector_kernels.gemm import multiply_accumulate, multiply_and_fetch
from rnnzoo.vector_kernels.pointers import load_at, store_at, where_positive
from rnnzoo.vector_kernels.vectors import LANES, multiply_add, splat

_BYTES = 4
_ZERO = np.float32(0.0)


@njit
def retrace_vector(job, columns, model):
    """Back through `update_vector`."""
    neurons = job[RECEIVERS]
    d_terms = part_of(job, RECEIVER, model, neurons * job[RECEIVER_ROW])
    d_shared = part_of(job, SHARED, model, job[SHARED_ROW])
    d_pool = part_of(job, BY_RECEIVER, model, neurons * job[BY_RECEIVER_ROW])
    d_mean = part_of(job, MEAN, model, job[MEAN_ROW])
    signs = job[POSITIVE] + signs_at(model * neurons * columns)
    for column in range(0, columns, LANES):
        total = splat(_ZERO)
        for row in range(neurons):
            flow = _flow_of_pool(d_pool, row * job[BY_RECEIVER_ROW] + column, d_mean, column, neurons)
            flow = where_positive(signs + signs_at(row * columns + column), flow)
            store_at(d_terms + _BYTES * (row * job[RECEIVER_ROW] + column), flow)
            total = total + flow
        store_at(d_shared + _BYTES * column, total)


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
    edges = part_of(job, EDGES, model, receivers * before)
    kept = part_of(job, D_EDGES, model, receivers * before)
    near = job[D_EDGES_NEAR]
    given = job[UPDATED_NEAR] if job[UPDATED_NEAR] else part_of(job, UPDATED, model, receivers * after)
    d_weight = part_of(job, D_WEIGHT, part, channels * columns)
    signs = job[POSITIVE] + signs_at(model * receivers * after)
    d_receiver = part_of(job, RECEIVER, model, receivers * job[RECEIVER_ROW])
    d_sender = part_of(job, SENDER, model, senders * job[SENDER_ROW])
    d_shared = part_of(job, SHARED, model, job[SHARED_ROW])
    by_receiver = part_of(job, BY_RECEIVER, model, receivers * job[BY_RECEIVER_ROW])
    mean = part_of(job, MEAN, model, job[MEAN_ROW])
    flow, sender_shares = scratch, scratch + _BYTES * after
    receiver_share, total = scratch + 2 * _BYTES * after, scratch + _BYTES * (2 * after + columns)
    saved = total + _BYTES * columns
    made_term = saved + _BYTES * columns
    made = made_term + _BYTES * channels
    clear(d_sender, job[SENDER_ROW], senders, columns)
    clear(d_shared, columns, 1, columns)
    if not begun:
        clear(d_weight, columns, channels, columns)
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
            copy(own_shares, saved, columns)
            _add_flow_of_diagonal(job, columns, model, row, own_shares)
        told = Flow(
            _BYTES * columns, given, sender_shares, receiver_share, signs, flow,
            d_sender, _BYTES * job[SENDER_ROW], total,
        )  # fmt: skip
        flow_of_gradients(senders, columns, told)
        if job[DIAGONAL_MEAN]:
            copy(saved, own_shares, columns)
        given += _BYTES * after if given else 0
        if kept or near:
            told = OldEdges(flow, columns, job[WEIGHT], _BYTES * channels, kept, near)
            flow_to_edges(senders, channels, told)
            kept += _BYTES * before if kept else 0
            near += _BYTES * before if near else 0
        for column in range(0, columns, LANES):
            value = load_at(total + _BYTES * column)
            store_at(d_receiver + _BYTES * column, value)
            add_to(d_shared + _BYTES * column, value)
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
        signs += signs_at(after)
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
    told = NewEdges(
        job[SOURCE] + _BYTES * (model * receivers + row) * before, job[SOURCE_CHANNELS], job[SOURCE_WEIGHT],
        _BYTES * channels, term, job[SOURCE_SENDER] + _BYTES * model * senders * job[SOURCE_SENDER_ROW],
        _BYTES * job[SOURCE_SENDER_ROW], 0, 0, target, 0, 0, 0, 0, -1,
    )  # fmt: skip
    edges_again(senders, channels, told)


@njit
def _shares_of_senders(job, columns, model, shares):
    """What the pools by sender add to the gradient of each of their edges, [senders, D]."""
    receivers, senders = job[RECEIVERS], job[SENDERS]
    by_sender = part_of(job, BY_SENDER, model, senders * job[BY_SENDER_ROW])
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
    diagonal = part_of(job, DIAGONAL, model, receivers * job[DIAGONAL_ROW])
    mean = part_of(job, DIAGONAL_MEAN, model, job[MEAN_ROW])
    for column in range(0, columns, LANES):
        flow = _flow_of_pool(diagonal, row * job[DIAGONAL_ROW] + column, mean, column, receivers)
        add_to(target + _BYTES * column, flow)


@njit
def _flow_of_pool(pool, at, mean, mean_at, neurons):
    """Gradient of a pool at one place, from its own, if there is one, and that of its mean over neurons."""
    own = load_at(pool + _BYTES * at) if pool else splat(_ZERO)
    return multiply_add(load_at(mean + _BYTES * mean_at), splat(np.float32(1.0 / neurons)), own)
