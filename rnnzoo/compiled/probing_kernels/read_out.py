"""From a network's outputs to log-probabilities at one position, and back."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.activations import exponential
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.vectors import (
    LANES,
    address,
    at_least,
    largest_lane,
    load,
    splat,
    store,
    sum_of_lanes,
)


@njit
def read_out(sizes, packed, weights_at, hidden, hidden_at, log_probs, at):
    """Log-probabilities [rows, padded_outputs] of outputs [rows, hidden] of the top layer."""
    width = sizes.padded_outputs
    bias = weights_at + sizes.hidden * width
    for row in range(sizes.rows):
        for i in range(0, width, LANES):
            store(log_probs, at + row * width + i, load(packed, bias + i))
    multiply_accumulate(
        sizes.rows, width, sizes.hidden,
        address(log_probs, at), width, address(hidden, hidden_at), sizes.hidden, 1,
        address(packed, weights_at), width, True,
    )  # fmt: skip
    for row in range(sizes.rows):
        start = at + row * width
        highest = load(log_probs, start)
        for i in range(LANES, width, LANES):
            highest = at_least(highest, load(log_probs, start + i))
        top = splat(largest_lane(highest))
        total = splat(np.float32(0.0))
        for i in range(0, width, LANES):
            total = total + exponential(load(log_probs, start + i) - top)
        mass = splat(np.float32(math.log(sum_of_lanes(total))))
        for i in range(0, width, LANES):
            store(log_probs, start + i, load(log_probs, start + i) - top - mass)


@njit
def read_out_gradient(sizes, flat, flat_at, log_probs, at, d_log_probs, d_at, d_logits, d_output, gradient_at):
    """Add to `d_output` [rows, hidden] what comes through the log-probabilities of one position.

    Args:
        flat, flat_at: read-out weights [outputs, hidden].
        log_probs, at, d_log_probs, d_at: values and gradient [rows, padded_outputs].
        d_logits: [rows, padded_outputs], scratch.
        d_output, gradient_at: what is added to.

    """
    width = sizes.padded_outputs
    for row in range(sizes.rows):
        start, d_start, total = at + row * width, d_at + row * width, splat(np.float32(0.0))
        for i in range(0, width, LANES):
            total = total + load(d_log_probs, d_start + i)
        mass = splat(sum_of_lanes(total))
        for i in range(0, width, LANES):
            share = exponential(load(log_probs, start + i))
            store(d_logits, row * width + i, load(d_log_probs, d_start + i) - share * mass)
    multiply_accumulate(
        sizes.rows, sizes.hidden, sizes.outputs,
        address(d_output, gradient_at), sizes.hidden, address(d_logits, 0), width, 1,
        address(flat, flat_at), sizes.hidden, True,
    )  # fmt: skip
