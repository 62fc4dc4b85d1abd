"""Hidden units renumbered: copies of weights with the rows and columns of each tensor in another order."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit, uint64

from rnnzoo.vector_kernels.disk_cache import digest_of_sources


def _compile(sources: str) -> Callable[..., None]:
    """The entry point, cached on disk under the digest of all kernel sources."""

    @njit(cache=True, nogil=True)
    def renumber(tensors, models, parameters, largest, orders, weights, result):
        """Renumber every network in orders of its own.

        Args:
            tensors: int64 [tensors, 6]: where each begins, channels, receivers, senders, and which order each of
                the latter two follows, -1 for none.
            models, parameters: networks, and weights of each.
            largest: neurons of the largest group.
            orders: int64 [orders, models, largest], one-dimensional; which old unit each new one is.
            weights, result: float32 [models, parameters], one-dimensional.

        """
        assert sources
        # Numba looks whether a signed index counts from the end, which takes longer than the copy.
        for model in range(models):
            for index in range(len(tensors)):
                offset, channels, receivers, senders, by_receiver, by_sender = tensors[index]
                for row in range(channels * receivers):
                    receiver = row % receivers
                    source = row - receiver
                    source += (
                        orders[(by_receiver * models + model) * largest + receiver] if by_receiver >= 0 else receiver
                    )
                    old = uint64(model * parameters + offset + source * senders)
                    new = uint64(model * parameters + offset + row * senders)
                    if by_sender >= 0:
                        order = uint64((by_sender * models + model) * largest)
                        for sender in range(uint64(senders)):
                            result[new + sender] = weights[old + uint64(orders[order + sender])]
                    else:
                        for sender in range(uint64(senders)):
                            result[new + sender] = weights[old + sender]

    return renumber


renumber = _compile(digest_of_sources())
