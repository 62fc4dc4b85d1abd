"""From what is known of neurons to the terms of their edges, and back."""

from __future__ import annotations

import numpy as np
from numba import njit

from rnnzoo.edge_kernels.jobs import (
    COLUMNS,
    D_GIVEN,
    FEATURES,
    GIVEN,
    MAP,
    NEURONS,
    START,
    TERMS,
)
from rnnzoo.vector_kernels.gemm import multiply_accumulate
from rnnzoo.vector_kernels.pointers import load_at, store_at
from rnnzoo.vector_kernels.vectors import LANES, splat

_BYTES = 4


@njit
def map_neurons(maps, model):
    """Terms of a network: a linear map of what is given, added to what they start from."""
    for index in range(len(maps)):
        told = maps[index]
        neurons, features, columns = told[NEURONS], told[FEATURES], told[COLUMNS]
        terms = told[TERMS] + _BYTES * model * neurons * columns
        _begin(told[START], terms, neurons * columns)
        given = told[GIVEN] + _BYTES * model * neurons * features
        multiply_accumulate(neurons, columns, features, terms, columns, given, features, 1, told[MAP], columns, True)


@njit
def map_neurons_back(maps, model):
    """Gradient of what was given, from that of the terms, where it is asked for."""
    for index in range(len(maps)):
        told = maps[index]
        neurons, features, columns = told[NEURONS], told[FEATURES], told[COLUMNS]
        if told[D_GIVEN]:
            terms = told[TERMS] + _BYTES * model * neurons * columns
            d_given = told[D_GIVEN] + _BYTES * model * neurons * features
            multiply_accumulate(
                neurons, features, columns, d_given, features, terms, columns, 1, told[MAP], features, False
            )


@njit
def _begin(source, target, count):
    """So many numbers, or zeros if there is no source."""
    for at in range(0, count, LANES):
        value = splat(np.float32(0.0))
        if source:
            value = load_at(source + _BYTES * at)
        store_at(target + _BYTES * at, value)
