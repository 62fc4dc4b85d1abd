"""Vector forms of the LSTM's nonlinearities, without branches or library calls.

Coefficients are our own minimax fits (iteratively reweighted least squares on the relative error). Largest
errors over all float32 arguments, against float64: `tanh` 3e-7 relative, `sigmoid` 2e-7 absolute,
`exponential` 2e-7 relative on [-87, 88]. NaN stays NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.generation.engines.numba_kernels.vectors import (
    at_least,
    at_most,
    multiply_add,
    nearest_integer,
    splat,
    times_power_of_two,
)

TANH_LIMIT = np.float32(8.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_P1, _P2, _P3, _P4 = (np.float32(c) for c in (0.13444497, 0.0035715974, 2.1894652e-05, 1.5230402e-08))
_Q1, _Q2, _Q3, _Q4 = (np.float32(c) for c in (0.46777824, 0.026164440, 3.4112908e-04, 8.5224400e-07))
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_E2, _E3, _E4, _E5, _E6 = (np.float32(c) for c in (0.49999994, 0.16666522, 0.041668389, 0.0083687101, 0.0013814613))
_EXP_LOWEST, _EXP_HIGHEST = np.float32(-88.0), np.float32(88.0)


@njit(forceinline=True)
def tanh(x):
    """Hyperbolic tangent per lane: x P(x^2) / Q(x^2), argument held to [-8, 8], where float32 is near 1."""
    x = at_least(at_most(x, splat(TANH_LIMIT)), splat(-TANH_LIMIT))
    u = x * x
    numerator = multiply_add(splat(_P4), u, splat(_P3))
    denominator = multiply_add(splat(_Q4), u, splat(_Q3))
    numerator = multiply_add(numerator, u, splat(_P2))
    denominator = multiply_add(denominator, u, splat(_Q2))
    numerator = multiply_add(numerator, u, splat(_P1))
    denominator = multiply_add(denominator, u, splat(_Q1))
    numerator = multiply_add(numerator, u, splat(_ONE))
    denominator = multiply_add(denominator, u, splat(_ONE))
    return (x * numerator) / denominator


@njit(forceinline=True)
def sigmoid(x):
    """Logistic function per lane, (1 + tanh(x / 2)) / 2."""
    return multiply_add(tanh(x * splat(_HALF)), splat(_HALF), splat(_HALF))


@njit(forceinline=True)
def exponential(x):
    """e**x per lane, 0 below -87.7, argument held to 88 above: range reduction by powers of two, then a polynomial."""
    x = at_least(at_most(x, splat(_EXP_HIGHEST)), splat(_EXP_LOWEST))
    exponent = nearest_integer(x * splat(_LOG2_E))
    r = multiply_add(exponent, splat(-_LN2_HIGH), x)
    r = multiply_add(exponent, splat(-_LN2_LOW), r)
    p = multiply_add(splat(_E6), r, splat(_E5))
    p = multiply_add(p, r, splat(_E4))
    p = multiply_add(p, r, splat(_E3))
    p = multiply_add(p, r, splat(_E2))
    p = multiply_add(p * r, r, r) + splat(_ONE)
    return times_power_of_two(p, exponent)
