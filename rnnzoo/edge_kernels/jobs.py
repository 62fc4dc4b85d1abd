"""What the kernels are told of a stack: a row of int64 with sizes, and the addresses and row lengths of its arrays.

The second list is what they are told of a linear map from neurons to terms; a whole network counts as one neuron.

Everything is float32 with a network's numbers in one piece, but for `POSITIVE`, which holds a bit per number. D, the
channels of the updated edges, is the same for all stacks of a call, and so are the networks. Terms and pools are
columns of wider arrays, hence the lengths of their rows, in numbers. An address of 0 says that there is no such array.

Edges on their way from one layer to the next may also lie in `..._NEAR`, which has room for those of one network, and
so stays in the cache.

A vector of the networks, a bias, is a stack without senders: its terms alone are updated, and they are their own pool.
"""

from __future__ import annotations

(
    RECEIVERS,
    SENDERS,
    CHANNELS,
    EDGES,  # [M, receivers, senders, channels]; none if back they are made again, from what `SOURCE...` tells
    EDGES_NEAR,  # forward: read instead of them
    WEIGHT,  # forward [channels, D], back [D, channels]
    UPDATED,  # [M, receivers, senders, D], back its gradient
    UPDATED_NEAR,  # forward: written as well; back: read instead
    POSITIVE,  # where it is positive
    RECEIVER,  # [M, receivers, D], back its gradient, as of all that follow up to the means
    RECEIVER_ROW,
    SENDER,  # [M, senders, D]
    SENDER_ROW,
    SHARED,  # [M, D]
    SHARED_ROW,
    BY_RECEIVER,  # [M, receivers, D]
    BY_RECEIVER_ROW,
    BY_SENDER,  # [M, senders, D]
    BY_SENDER_ROW,
    DIAGONAL,  # [M, receivers, D]
    DIAGONAL_ROW,
    MEAN,  # of all edges [M, D]
    DIAGONAL_MEAN,  # [M, D]
    MEAN_ROW,
    D_EDGES,  # [M, receivers, senders, channels]
    D_EDGES_NEAR,  # written as well
    D_WEIGHT,  # [parts, channels, D], the sum over the networks of each part
    SOURCE,  # back: the edges of the layer before [M, receivers, senders, source channels], its weight and terms
    SOURCE_CHANNELS,
    SOURCE_WEIGHT,  # [source channels, channels]
    SOURCE_RECEIVER,  # [M, receivers, channels]
    SOURCE_RECEIVER_ROW,
    SOURCE_SENDER,  # [M, senders, channels]
    SOURCE_SENDER_ROW,
    SOURCE_SHARED,  # [M, channels]
    SOURCE_SHARED_ROW,
    FIELDS,
) = range(37)

(
    NEURONS,
    FEATURES,
    COLUMNS,
    GIVEN,  # [M, neurons, features]
    D_GIVEN,  # its gradient
    MAP,  # forward [features, columns], back [columns, features]
    TERMS,  # [M, neurons, columns], back its gradient
    START,  # [neurons, columns], what the terms start from; zero if there is none
    MAP_FIELDS,
) = range(9)
