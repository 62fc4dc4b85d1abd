"""Sample strings from a language model, position by position, with the zoo's random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.rows import softmax_row
from rnnzoo.generation.engines.numba_kernels.forward import derive_forward_weights
from rnnzoo.generation.engines.numba_kernels.gate_blocks import blocks_of
from rnnzoo.generation.engines.numba_kernels.inference import advance, new_starts, reset_states
from rnnzoo.generation.engines.numba_kernels.random_words import random_block
from rnnzoo.generation.engines.numba_kernels.sources import SOURCES
from rnnzoo.generation.engines.numba_kernels.visible_tiles import visible_inputs
from rnnzoo.generation.randomness import Purpose

_ROLLOUT = np.uint64(Purpose.ROLLOUT)
_LANES = 4


@njit
def _first_above(sizes, scratch, mass, uniform):
    """First token whose cumulative probability exceeds `uniform`; the last if none does, 0 if they are NaN."""
    cumulative = np.float32(0.0)
    for token in range(sizes.outputs - 1):
        cumulative += scratch.shares[token] / mass
        if not cumulative <= uniform:
            return token
    return sizes.outputs - 1


def _compile(sources: str) -> Callable:
    """The sampling kernel, cached on disk under the digest of all sources."""

    @njit(cache=True, nogil=True)
    def sample_model(sizes, weights, scratch, seed, model_id, step, first, start, tokens, log_probs):
        """Sample some of a model's rollouts; see `Engine.sample_rollouts`.

        Args:
            sizes, weights, scratch: the model, packed, and this thread's working memory.
            seed, model_id, step: uint64, keys of the random numbers.
            first: number of the first rollout, int64.
            start: first token of every string.
            tokens: uint8 [rollouts, length], filled.
            log_probs: float32 [recorded, length - 1, outputs], filled for the first `recorded` of these rollouts.

        """
        assert sources
        derive_forward_weights(sizes, weights, scratch)
        rollouts, length = tokens.shape
        blocks_per_string = (length - 1 + _LANES - 1) // _LANES
        words = np.empty((sizes.rows, _LANES), dtype=np.uint32)
        starts, nothing = new_starts(sizes, weights, scratch.table), visible_inputs(blocks_of(sizes.rows), 1, 0)
        tokens[:, 0] = start
        for begin in range(0, rollouts, sizes.rows):
            rows = min(sizes.rows, rollouts - begin)
            reset_states(sizes, scratch, rows)
            for position in range(length - 1):
                for row in range(rows):
                    starts.rows[row] = tokens[begin + row, position] * 4 * sizes.hidden
                advance(sizes, weights, scratch, rows, position, starts, nothing, 0)
                lane = position % _LANES
                for row in range(rows):
                    if lane == 0:
                        block = (first + begin + row) * blocks_per_string + position // _LANES
                        random_block(seed, model_id, _ROLLOUT, step, np.uint64(block), words[row])
                    mass, top = softmax_row(
                        scratch.logits, row * sizes.padded_outputs, sizes.padded_outputs, scratch.shares, 0
                    )
                    uniform = np.float32(words[row, lane] >> np.uint32(8)) * np.float32(2.0**-24)
                    tokens[begin + row, position + 1] = _first_above(sizes, scratch, mass, uniform)
                    if begin + row < len(log_probs):
                        normaliser = np.float64(top) + math.log(mass)
                        for output in range(sizes.outputs):
                            logit = np.float64(scratch.logits[row * sizes.padded_outputs + output])
                            log_probs[begin + row, position, output] = logit - normaliser

    return sample_model


sample_model = _compile(SOURCES)
