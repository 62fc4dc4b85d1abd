"""AdamW with decoupled weight decay on all parameters, as `torch.optim.AdamW` computes it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.vectors import LANES, load, multiply_add, splat, square_root, store


@njit
def adamw_update(weights, first_moment, second_moment, gradient, step, rate, decay, beta_1, beta_2, epsilon):
    """One update of packed parameters [n] and their moments in place; n is a multiple of 16.

    Args:
        weights, first_moment, second_moment, gradient: float32 [n].
        step: updates made before this one.
        rate, decay: learning rate and weight decay, float64.
        beta_1, beta_2, epsilon: as in AdamW, float64.

    """
    step_size = splat(np.float32(-rate / (1.0 - beta_1 ** (step + 1))))
    correction = splat(np.float32(1.0 / math.sqrt(1.0 - beta_2 ** (step + 1))))
    shrink = splat(np.float32(1.0 - rate * decay))
    mix = splat(np.float32(1.0 - beta_1))
    keep, add = splat(np.float32(beta_2)), splat(np.float32(1.0 - beta_2))
    offset = splat(np.float32(epsilon))
    for i in range(0, weights.size, LANES):
        slope = load(gradient, i)
        mean = load(first_moment, i)
        mean = multiply_add(mix, slope - mean, mean)
        square = multiply_add(add * slope, slope, keep * load(second_moment, i))
        store(first_moment, i, mean)
        store(second_moment, i, square)
        denominator = multiply_add(square_root(square), correction, offset)
        store(weights, i, multiply_add(step_size, mean / denominator, load(weights, i) * shrink))
