"""Vector forms of the LSTM's nonlinearities, without branches or library calls.

Tanh and the logistic function are fractions of polynomials. Dividing is by far their slowest part, so they come as
fractions, and several are divided at once: 1 / (d e) gives 1 / d and 1 / e by two products.

Coefficients are our own minimax fits (iteratively reweighted least squares on the relative error). Largest
errors over all float32 arguments, against float64: `tanh_fraction` 5e-7 relative, `sigmoid_fraction` 4e-7 absolute,
divided together; `next_state` 7e-7 absolute for an output and 7e-7 (1 + |state before|) for a state; `exponential` 2e-7
relative on [-87, 88]. NaN stays NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.vectors import (
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
_ABOVE = tuple(np.float32(c) for c in (0.99999988, 0.12925661, 0.0029510220, 1.1428405e-05))
_BELOW = tuple(np.float32(c) for c in (0.46258876, 0.023815546, 2.3866892e-04, 2.4592052e-07))
_TANH = _ABOVE + _BELOW
_HALF_TANH = tuple(p * _HALF for p in _ABOVE) + _BELOW
_SIGMOID_LIMIT = np.float32(16.0)
# tanh(x / 2) as a fraction of x, scaled by powers of two: the same roundings.
_SIGMOID = (
    *(p * np.float32(0.5 * 0.25**k) for k, p in enumerate(_ABOVE)),
    *(q * np.float32(0.25**k) for k, q in enumerate(_BELOW, start=1)),
)
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_E2, _E3, _E4, _E5, _E6 = (np.float32(c) for c in (0.49999994, 0.16666522, 0.041668389, 0.0083687101, 0.0013814613))
_EXP_LOWEST, _EXP_HIGHEST = np.float32(-88.0), np.float32(88.0)


@njit(forceinline=True)
def tanh_fraction(x):
    """Hyperbolic tangent per lane as numerator and denominator, x P(x^2) and Q(x^2), the latter in [1, 242].

    The argument is held to [-8, 8], where float32 is near 1.
    """
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
    return x * numerator, denominator


@njit(forceinline=True)
def sigmoid_fraction(x):
    """Logistic function per lane, (1 + tanh(x / 2)) / 2, as numerator and denominator."""
    numerator, denominator = tanh_fraction(x * splat(_HALF))
    return (numerator + denominator) * splat(_HALF), denominator


@njit(forceinline=True)
def divide_two(a, b):
    """The values of two fractions, by one division."""
    inverse = splat(_ONE) / (a[1] * b[1])
    return a[0] * (inverse * b[1]), b[0] * (inverse * a[1])


@njit(forceinline=True)
def divide_three(a, b, c):
    """The values of three fractions, by one division."""
    both = a[1] * b[1]
    inverse = splat(_ONE) / (both * c[1])
    inverse_of_both = inverse * c[1]
    return a[0] * (inverse_of_both * b[1]), b[0] * (inverse_of_both * a[1]), c[0] * (inverse * both)


@njit(forceinline=True)
def _fraction(x, limit, p0, p1, p2, p3, q1, q2, q3, q4):
    """X held to [-limit, limit], and the P and Q of x P(x^2) / Q(x^2) with coefficients p0 to p3 and 1, q1 to q4.

    For inference: one coefficient less than `tanh_fraction`, the same stated errors.
    """
    x = at_least(at_most(x, splat(limit)), splat(-limit))
    u = x * x
    denominator = multiply_add(splat(q4), u, splat(q3))
    numerator = multiply_add(splat(p3), u, splat(p2))
    denominator = multiply_add(denominator, u, splat(q2))
    numerator = multiply_add(numerator, u, splat(p1))
    denominator = multiply_add(denominator, u, splat(q1))
    numerator = multiply_add(numerator, u, splat(p0))
    denominator = multiply_add(denominator, u, splat(_ONE))
    return x, numerator, denominator


@njit(forceinline=True)
def _twice_sigmoid_fraction(x):
    """Twice the logistic function per lane, 1 + tanh(x / 2), as numerator and denominator."""
    x, numerator, denominator = _fraction(x, _SIGMOID_LIMIT, *_SIGMOID)
    return multiply_add(x, numerator, denominator), denominator


@njit(forceinline=True)
def next_state(input_gate, forget_gate, cell_gate, output_gate, state):
    """An LSTM's cell state and output from the pre-activations of its gates and the cell state before, per lane.

    The gates themselves are never divided: both results are one fraction each.
    """
    input_gate, input_below = _twice_sigmoid_fraction(input_gate)
    forget_gate, forget_below = _twice_sigmoid_fraction(forget_gate)
    x, numerator, below = _fraction(cell_gate, TANH_LIMIT, *_TANH)
    added, added_below = input_gate * (x * numerator), input_below * below
    both_below = forget_below * added_below
    state = multiply_add(forget_gate * state, added_below, added * forget_below) / (both_below + both_below)
    output_gate, output_below = _twice_sigmoid_fraction(output_gate)
    x, numerator, below = _fraction(state, TANH_LIMIT, *_HALF_TANH)
    return state, output_gate * (x * numerator) / (output_below * below)


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
