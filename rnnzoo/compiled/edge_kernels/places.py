"""Where a network's numbers lie in the arrays of a job, and rows of numbers copied, cleared and added to."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.pointers import BYTES_OF_SIGNS, load_at, store_at
from rnnzoo.compiled.vector_kernels.vectors import LANES, splat

_BYTES = 4
_ZERO = np.float32(0.0)


@njit
def part_of(array, model, size):
    """Address of a network's part of an array with `size` numbers per network, 0 if there is no array."""
    return array + _BYTES * model * size if array else 0


@njit
def signs_at(at):
    """Where the signs of the vector that is `at` numbers into an array are, in bytes."""
    return at // LANES * BYTES_OF_SIGNS


@njit
def add_to(place, value):
    """Add a vector to the one at an address."""
    store_at(place, load_at(place) + value)


@njit
def copy(source, target, count):
    """Copy so many numbers."""
    for at in range(0, count, LANES):
        store_at(target + _BYTES * at, load_at(source + _BYTES * at))


@njit
def clear(start, row_length, rows, columns):
    """Zeros in rows of `columns` numbers that are `row_length` apart."""
    for row in range(rows):
        for column in range(0, columns, LANES):
            store_at(start + _BYTES * (row * row_length + column), splat(_ZERO))
