"""Counter-based random numbers: a pure function of (zoo seed, model, purpose, step, index).

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The key is the
zoo seed; the counter is (block, step, model id, purpose), and each block yields four 32-bit words. No
state is kept anywhere, so a number does not depend on which process, device or order asked for it, and
the same few lines run in NumPy (here), in Numba and in Triton.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


class Purpose(IntEnum):
    """What a stream of random words is for; part of the counter, so the values never change."""

    TASK = 0
    INITIAL_WEIGHTS = 1
    BATCH = 2
    ROLLOUT = 3
    WEIGHT_DECAY = 4
    TRACE_EXAMPLES = 5
    SPLIT = 6
    EVALUATION_EXAMPLES = 7
    TRAINING_ROWS = 8


def philox(
    counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], seed: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]:
    """Ten rounds of Philox4x32 on four broadcastable uint32 counters; four uint32 arrays back."""
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in np.broadcast_arrays(*counter))
    key_0, key_1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(ROUNDS):
        product_0 = np.uint64(MULTIPLIER_0) * c0
        product_1 = np.uint64(MULTIPLIER_1) * c2
        c0, c1, c2, c3 = (
            (product_1 >> _SHIFT) ^ c1 ^ np.uint64(key_0),
            product_1 & _LOW,
            (product_0 >> _SHIFT) ^ c3 ^ np.uint64(key_1),
            product_0 & _LOW,
        )
        key_0, key_1 = (key_0 + WEYL_0) & 0xFFFFFFFF, (key_1 + WEYL_1) & 0xFFFFFFFF
    return c0.astype(np.uint32), c1.astype(np.uint32), c2.astype(np.uint32), c3.astype(np.uint32)


def random_words(seed: int, model_ids: ArrayLike, purpose: Purpose, step: int, count: int) -> NDArray[np.uint32]:
    """The first `count` words of each model's stream for a purpose and step, uint32 [..., count].

    Args:
        seed: the zoo seed, 0 <= seed < 2**64.
        model_ids: model ids of any shape [...].
        purpose: which stream.
        step: optimizer step the words belong to (0 where there is none).
        count: number of words; word i is lane i % 4 of block i // 4.
    """
    ids = np.asarray(model_ids, dtype=np.uint64)
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    lanes = philox((blocks, np.uint64(step), ids[..., None], np.uint64(purpose)), seed)
    return np.stack(lanes, axis=-1).reshape(*ids.shape, -1)[..., :count]


def unit_floats(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Words -> float32 uniform in [0, 1): the top 24 bits, exact."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def unit_doubles(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Pairs of words [..., 2n] -> float64 [..., n] uniform in [0, 1): 27 and 26 bits, exact."""
    pairs = words.reshape(*words.shape[:-1], -1, 2).astype(np.uint64)
    high, low = pairs[..., 0] >> np.uint64(5), pairs[..., 1] >> np.uint64(6)
    return (high << np.uint64(26) | low).astype(np.float64) * 2.0**-53


def symmetric_floats(words: NDArray[np.uint32], bound: float) -> NDArray[np.float32]:
    """Words -> float32 uniform in [-bound, bound): 24 bits and one rounding."""
    centred = (words >> np.uint32(8)).astype(np.int32) - np.int32(2**23)
    return centred.astype(np.float32) * np.float32(2.0**-23) * np.float32(bound)


def integers_below(words: NDArray[np.uint32], bound: ArrayLike) -> NDArray[np.int64]:
    """Words -> integers uniform in [0, bound) by multiply-shift (bias below bound / 2**32)."""
    return ((words.astype(np.uint64) * np.asarray(bound, dtype=np.uint64)) >> _SHIFT).astype(np.int64)
