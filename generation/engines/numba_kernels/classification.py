"""Run a classifier on images, seen as tiles through the model's own pixel map."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from rnnzoo.generation.engines.numba_kernels.disk_cache import SOURCES
from rnnzoo.generation.engines.numba_kernels.examples import gather_image
from rnnzoo.generation.engines.numba_kernels.forward import derive_forward_weights
from rnnzoo.generation.engines.numba_kernels.inference import advance, reset_states, softmax_row

_LARGE_PRODUCT = 1e200


@njit
def _largest(logits):
    """Index of the largest value, the first of equals; 0 if all are NaN."""
    best = 0
    for output in range(1, logits.size):
        if logits[output] > logits[best]:
            best = output
    return best


def _compile(sources: str) -> Callable:
    """The classification kernel, cached on disk under the digest of all sources."""

    @njit(cache=True, nogil=True)
    def classify_model(sizes, examples, weights, scratch, model, images, losses, predictions, log_probs):
        """Classify images with one model; see `Engine.classify`.

        Args:
            sizes, examples, weights, scratch: the model, packed, its data and this thread's working memory.
            model: position of the model in the population.
            images: int32 [n], image numbers.
            losses, predictions: float32 [n] and uint8 [n], filled.
            log_probs: float32 [recorded, positions, outputs], filled for the first `recorded` images.

        """
        assert sources
        derive_forward_weights(sizes, weights, scratch)
        for begin in range(0, images.size, sizes.rows):
            rows = min(sizes.rows, images.size - begin)
            for row in range(rows):
                image = examples.images[images[begin + row]]
                gather_image(
                    image, examples.sources[model], examples.values,
                    scratch.inputs, row * sizes.inputs, rows * sizes.inputs,
                )  # fmt: skip
            reset_states(sizes, scratch, rows)
            total, masses = np.zeros(rows), np.ones(rows)
            for position in range(sizes.positions):
                advance(sizes, weights, scratch, rows, scratch.inputs, position * rows * sizes.inputs, 0)
                for row in range(rows):
                    logits = scratch.logits[row * sizes.padded_outputs :][: sizes.outputs]
                    mass, top = softmax_row(sizes, scratch, row)
                    total[row] += np.float64(top) - np.float64(logits[examples.labels[images[begin + row]]])
                    # The sum of logarithms is the logarithm of the product, taken before it can overflow.
                    masses[row] *= mass
                    if masses[row] > _LARGE_PRODUCT:
                        total[row] += math.log(masses[row])
                        masses[row] = 1
                    if begin + row < len(log_probs):
                        normaliser = np.float64(top) + math.log(mass)
                        for output in range(sizes.outputs):
                            log_probs[begin + row, position, output] = np.float64(logits[output]) - normaliser
                    if position == sizes.positions - 1:
                        predictions[begin + row] = _largest(logits)
            for row in range(rows):
                losses[begin + row] = (total[row] + math.log(masses[row])) / sizes.positions

    return classify_model


classify_model = _compile(SOURCES)
