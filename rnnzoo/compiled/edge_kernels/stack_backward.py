"""Back through one stack of one network: gradients of terms, weight and the edges before, a receiver at a time."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.compiled.edge_kernels.places import add_to, clear, copy, part_of, signs_at
from rnnzoo.compiled.edge_kernels.receiver import (
    EdgeGradients,
    NewEdges,
    OldEdges,
    edge_gradients,
    edges_again,
    gradients_to_edges,
)
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate, multiply_and_fetch
from rnnzoo.compiled.vector_kernels.pointers import load_at, store_at, where_positive
from rnnzoo.compiled.vector_kernels.vectors import LANES, multiply_add, splat

_BYTES = 4
_ZERO = np.float32(0.0)


@njit
def update_vector_backward(job, columns, model):
    """Back through `update_vector`."""
    neurons = job.receivers
    d_terms = part_of(job.receiver, model, neurons * job.receiver_row)
    d_shared = part_of(job.shared, model, job.shared_row)
    d_pool = part_of(job.by_receiver, model, neurons * job.by_receiver_row)
    d_mean = part_of(job.mean, model, job.mean_row)
    signs = job.positive + signs_at(model * neurons * columns)
    for column in range(0, columns, LANES):
        total = splat(_ZERO)
        for row in range(neurons):
            gradient = _gradient_of_pool(d_pool, row * job.by_receiver_row + column, d_mean, column, neurons)
            gradient = where_positive(signs + signs_at(row * columns + column), gradient)
            store_at(d_terms + _BYTES * (row * job.receiver_row + column), gradient)
            total = total + gradient
        store_at(d_shared + _BYTES * column, total)


@njit
def update_matrix_backward(job, columns, model, part, begun, scratch):
    """Back through `update_matrix`: gradients of terms and weight, and of the edges where they are asked for.

    Args:
        job, columns, model: as there.
        part: which part the network belongs to.
        begun: whether others of the part came before, to whose gradient of the weight is added.
        scratch: address of room for two times [senders, D], three rows of D numbers, and if edges are made again
            [senders, channels] and a row of as many.

    """
    receivers, senders, channels = job.receivers, job.senders, job.channels
    before, after = senders * channels, senders * columns
    edges = part_of(job.edges, model, receivers * before)
    near, given = job.d_edges_near, job.updated_near
    d_weight = part_of(job.d_weight, part, channels * columns)
    signs = job.positive + signs_at(model * receivers * after)
    d_receiver = part_of(job.receiver, model, receivers * job.receiver_row)
    d_sender = part_of(job.sender, model, senders * job.sender_row)
    d_shared = part_of(job.shared, model, job.shared_row)
    by_receiver = part_of(job.by_receiver, model, receivers * job.by_receiver_row)
    mean = part_of(job.mean, model, job.mean_row)
    gradient, sender_shares = scratch, scratch + _BYTES * after
    receiver_share, total = scratch + 2 * _BYTES * after, scratch + _BYTES * (2 * after + columns)
    saved = total + _BYTES * columns
    made_term = saved + _BYTES * columns
    made = made_term + _BYTES * channels
    clear(d_sender, job.sender_row, senders, columns)
    clear(d_shared, columns, 1, columns)
    if not begun:
        clear(d_weight, columns, channels, columns)
    _shares_of_senders(job, columns, model, sender_shares)
    share = splat(np.float32(1.0 / senders))
    for row in range(receivers):
        for column in range(0, columns, LANES):
            at = row * job.by_receiver_row + column
            own = _gradient_of_pool(by_receiver, at, mean, column, receivers)
            store_at(receiver_share + _BYTES * column, share * own)
            store_at(total + _BYTES * column, splat(_ZERO))
        own_shares = sender_shares + _BYTES * row * columns
        if job.diagonal_mean:
            copy(own_shares, saved, columns)
            _add_gradient_of_diagonal(job, columns, model, row, own_shares)
        told = EdgeGradients(
            _BYTES * columns, given, sender_shares, receiver_share, signs, gradient,
            d_sender, _BYTES * job.sender_row, total,
        )  # fmt: skip
        edge_gradients(senders, columns, told)
        if job.diagonal_mean:
            copy(saved, own_shares, columns)
        given += _BYTES * after if given else 0
        if near:
            gradients_to_edges(senders, channels, OldEdges(gradient, columns, job.weight, _BYTES * channels, near))
            near += _BYTES * before
        for column in range(0, columns, LANES):
            value = load_at(total + _BYTES * column)
            store_at(d_receiver + _BYTES * column, value)
            add_to(d_shared + _BYTES * column, value)
        if job.source:
            _make_again(job, model, row, made_term, made)
            multiply_accumulate(
                channels, columns, senders, d_weight, columns, made, 1, channels, gradient, columns, True
            )  # fmt: skip
        else:
            following = edges + _BYTES * before
            multiply_and_fetch(
                channels, columns, senders, d_weight, columns, edges, 1, channels, gradient, columns, True,
                following, _BYTES * before,
            )  # fmt: skip
            edges = following
        signs += signs_at(after)
        d_receiver += _BYTES * job.receiver_row


@njit
def _make_again(job, model, row, term, target):
    """The edges of one receiver [senders, channels], as the layer before made them.

    Args:
        job, model, row: which receiver of which stack and network.
        term: address of room for a number per channel.
        target: gets them.

    """
    receivers, senders, channels = job.receivers, job.senders, job.channels
    before = senders * job.source_channels
    receiver = job.source_receiver + _BYTES * (model * receivers + row) * job.source_receiver_row
    shared = job.source_shared + _BYTES * model * job.source_shared_row
    for column in range(0, channels, LANES):
        store_at(term + _BYTES * column, load_at(receiver + _BYTES * column) + load_at(shared + _BYTES * column))
    told = NewEdges(
        job.source + _BYTES * (model * receivers + row) * before, job.source_channels, job.source_weight,
        _BYTES * channels, term, job.source_sender + _BYTES * model * senders * job.source_sender_row,
        _BYTES * job.source_sender_row, 0, 0, target, 0, 0, 0, 0, -1,
    )  # fmt: skip
    edges_again(senders, channels, told)


@njit
def _shares_of_senders(job, columns, model, shares):
    """What the pools by sender add to the gradient of each of their edges, [senders, D]."""
    receivers, senders = job.receivers, job.senders
    by_sender = part_of(job.by_sender, model, senders * job.by_sender_row)
    share = splat(np.float32(1.0 / receivers))
    for source in range(senders):
        for column in range(0, columns, LANES):
            value = splat(_ZERO)
            if by_sender:
                value = load_at(by_sender + _BYTES * (source * job.by_sender_row + column)) * share
            store_at(shares + _BYTES * (source * columns + column), value)


@njit
def _add_gradient_of_diagonal(job, columns, model, row, target):
    """Add the gradient of a neuron's edge to itself by way of the diagonal's pool, [D]."""
    receivers = job.receivers
    diagonal = part_of(job.diagonal, model, receivers * job.diagonal_row)
    mean = part_of(job.diagonal_mean, model, job.mean_row)
    for column in range(0, columns, LANES):
        gradient = _gradient_of_pool(diagonal, row * job.diagonal_row + column, mean, column, receivers)
        add_to(target + _BYTES * column, gradient)


@njit
def _gradient_of_pool(pool, at, mean, mean_at, neurons):
    """Gradient of a pool at one place, from its own, if there is one, and that of its mean over neurons."""
    own = load_at(pool + _BYTES * at) if pool else splat(_ZERO)
    return multiply_add(load_at(mean + _BYTES * mean_at), splat(np.float32(1.0 / neurons)), own)
