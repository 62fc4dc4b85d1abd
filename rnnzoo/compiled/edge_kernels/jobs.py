"""What the kernels are told of a layer: a record of each stack, and of each linear map from neurons to terms.

Records hold sizes, row lengths and the addresses of arrays; an address of 0 says that there is no such array.
Everything is float32 with a network's numbers in one piece, but for `positive`, which holds a bit per number. D, the
channels of the new edges, is the same for all stacks of a call, and so are the networks. Terms and pools are columns of
wider arrays, hence the lengths of their rows, in numbers.

Edges on their way from one layer to the next lie in `..._near`, which has room for those of one network, and so stays
in the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class StackJob(NamedTuple):
    """What is done with a stack; a vector of the networks, a bias, is one without senders: its terms are its pool.

    Args:
        receivers, senders, channels: sizes.
        edges: [M, receivers, senders, channels]; none if back they are made again, from what `source...` tells.
        edges_near: forward: read instead of them.
        weight: forward [channels, D], back [D, channels].
        updated: [M, receivers, senders, D], forward, if they are kept.
        updated_near: forward: written as well; back: their gradient.
        positive: where the new edges are positive.
        receiver, receiver_row: terms [M, receivers, D], back their gradient, as of all that follow up to the means.
        sender, sender_row: [M, senders, D].
        shared, shared_row: [M, D].
        by_receiver, by_receiver_row: [M, receivers, D].
        by_sender, by_sender_row: [M, senders, D].
        diagonal, diagonal_row: [M, receivers, D].
        mean, diagonal_mean, mean_row: of all edges and of the diagonal [M, D].
        d_edges_near: back: gets the gradient of the edges.
        d_weight: back: [parts, channels, D], the sum over the networks of each part.
        source, source_channels, source_weight: back: the edges of the layer before [M, receivers, senders, source
            channels] and its weight [source channels, channels].
        source_receiver, source_receiver_row, source_sender, source_sender_row, source_shared, source_shared_row: its
            terms, like those above with its channels.
    """

    receivers: int
    senders: int
    channels: int
    edges: int
    edges_near: int
    weight: int
    updated: int
    updated_near: int
    positive: int
    receiver: int
    receiver_row: int
    sender: int
    sender_row: int
    shared: int
    shared_row: int
    by_receiver: int
    by_receiver_row: int
    by_sender: int
    by_sender_row: int
    diagonal: int
    diagonal_row: int
    mean: int
    diagonal_mean: int
    mean_row: int
    d_edges_near: int
    d_weight: int
    source: int
    source_channels: int
    source_weight: int
    source_receiver: int
    source_receiver_row: int
    source_sender: int
    source_sender_row: int
    source_shared: int
    source_shared_row: int


class MapJob(NamedTuple):
    """A linear map from neurons to terms; a whole network counts as one neuron.

    Args:
        neurons, features, columns: sizes.
        given, d_given: [M, neurons, features] and its gradient.
        map: forward [features, columns], back [columns, features].
        terms: [M, neurons, columns], back its gradient.
        start: [neurons, columns], what the terms start from; zero if there is none.
    """

    neurons: int
    features: int
    columns: int
    given: int
    d_given: int
    map: int
    terms: int
    start: int


STACK_JOB = np.dtype([(field, np.int64) for field in StackJob._fields])
MAP_JOB = np.dtype([(field, np.int64) for field in MapJob._fields])
