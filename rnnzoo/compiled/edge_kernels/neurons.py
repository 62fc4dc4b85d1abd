"""From what is known of neurons to the terms of their edges, and back."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.pointers import load_at, store_at
from rnnzoo.compiled.vector_kernels.vectors import LANES, splat

_BYTES = 4


@njit
def map_neurons(maps, model):
    """Terms of a network: a linear map of what is given, added to what they start from."""
    for index in range(len(maps)):
        told = maps[index]
        neurons, features, columns = told.neurons, told.features, told.columns
        terms = told.terms + _BYTES * model * neurons * columns
        _begin(told.start, terms, neurons * columns)
        given = told.given + _BYTES * model * neurons * features
        multiply_accumulate(neurons, columns, features, terms, columns, given, features, 1, told.map, columns, True)


@njit
def map_neurons_back(maps, model):
    """Gradient of what was given, from that of the terms, where it is asked for."""
    for index in range(len(maps)):
        told = maps[index]
        neurons, features, columns = told.neurons, told.features, told.columns
        if told.d_given:
            terms = told.terms + _BYTES * model * neurons * columns
            d_given = told.d_given + _BYTES * model * neurons * features
            multiply_accumulate(
                neurons, features, columns, d_given, features, terms, columns, 1, told.map, features, False
            )


@njit
def _begin(source, target, count):
    """So many numbers, or zeros if there is no source."""
    for at in range(0, count, LANES):
        value = splat(np.float32(0.0))
        if source:
            value = load_at(source + _BYTES * at)
        store_at(target + _BYTES * at, value)
