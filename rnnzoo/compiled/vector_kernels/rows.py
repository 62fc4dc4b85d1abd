"""Rows of numbers, a multiple of 16 of them: copied, added, and as logits."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.activations import exponential
from rnnzoo.compiled.vector_kernels.vectors import LANES, at_least, largest_lane, load, splat, store, sum_of_lanes


@njit
def copy_row(source, source_at, target, target_at, count):
    """Copy `count` values, a multiple of 16, between float32 arrays."""
    for i in range(0, count, LANES):
        store(target, target_at + i, load(source, source_at + i))


@njit
def add_row(source, source_at, target, target_at, count):
    """Add `count` values, a multiple of 16, to others."""
    for i in range(0, count, LANES):
        store(target, target_at + i, load(target, target_at + i) + load(source, source_at + i))


@njit
def softmax_row(logits, at, width, shares, shares_at):
    """Unnormalised probabilities of the logits [width] from `at` on, exp(logit - largest logit), into `shares`.

    Returns:
        Their sum and the largest logit, float32: the log of the sum of exponentials is log(sum) + largest.

    """
    highest = load(logits, at)
    for i in range(LANES, width, LANES):
        highest = at_least(highest, load(logits, at + i))
    top = largest_lane(highest)
    total = splat(np.float32(0.0))
    for i in range(0, width, LANES):
        share = exponential(load(logits, at + i) - splat(top))
        store(shares, shares_at + i, share)
        total = total + share
    return sum_of_lanes(total), top
