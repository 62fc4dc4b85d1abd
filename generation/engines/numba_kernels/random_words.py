"""The counter-based random numbers of `rnnzoo.generation.randomness`, bit for bit, inside kernels."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.generation.randomness import MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(MULTIPLIER_0), np.uint64(MULTIPLIER_1)
_WEYL_0, _WEYL_1 = np.uint64(WEYL_0), np.uint64(WEYL_1)
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit
def random_block(seed, model_id, purpose, step, block, words):
    """Write the four words of one block of a model's stream to `words`, uint32 [4]; arguments are uint64."""
    c0, c1, c2, c3 = block, step, model_id, purpose
    key_0, key_1 = seed & _LOW, seed >> _SHIFT
    for _ in range(ROUNDS):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _SHIFT) ^ c1 ^ key_0
        c1 = product_1 & _LOW
        c2 = (product_0 >> _SHIFT) ^ c3 ^ key_1
        c3 = product_0 & _LOW
        key_0, key_1 = (key_0 + _WEYL_0) & _LOW, (key_1 + _WEYL_1) & _LOW
    words[0], words[1], words[2], words[3] = c0, c1, c2, c3


@njit
def draw_below(seed, model_id, purpose, step, bound, words, drawn):
    """Fill `drawn`, int64 [n], with integers in [0, bound): the first n words of a stream, multiply-shift."""
    for block in range((drawn.size + 3) // 4):
        random_block(seed, model_id, purpose, step, np.uint64(block), words)
        for lane in range(min(4, drawn.size - 4 * block)):
            drawn[4 * block + lane] = np.int64((np.uint64(words[lane]) * np.uint64(bound)) >> _SHIFT)
