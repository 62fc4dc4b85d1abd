"""The whole training step of one model as one pass: draw, forward, loss, backward, AdamW."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from rnnzoo.generation.engines.numba_kernels.backward import (
    copy_bias_gradients,
    derive_backward_weights,
    readout_gradient,
    run_layer_backward,
    softmax_gradient,
)
from rnnzoo.generation.engines.numba_kernels.examples import draw_batch, gather_tiles, gather_tokens
from rnnzoo.generation.engines.numba_kernels.forward import compute_logits, derive_forward_weights, run_layer
from rnnzoo.generation.engines.numba_kernels.optimizer import adamw_update
from rnnzoo.generation.engines.numba_kernels.sources import SOURCES


@njit
def batch_gradient(sizes, examples, weights, scratch, model, rows, scale, with_loss):
    """Loss of the drawn batch (0 unless wanted) and, in scratch.gradient, its gradient in packed layout."""
    derive_forward_weights(sizes, weights, scratch)
    derive_backward_weights(sizes, weights, scratch)
    scratch.gradient[:] = 0
    loss = 0.0
    is_token_model = examples.counts.size > 0
    nothing = scratch.inputs[:0]
    blocks = (rows + sizes.rows - 1) // sizes.rows
    first = 0
    states = (sizes.positions + 1) * sizes.rows * sizes.hidden
    all_weights = scratch.row_weight.copy() if blocks > 1 else scratch.row_weight
    for block in range(blocks):
        count = rows // blocks + (1 if block < rows % blocks else 0)
        if is_token_model:
            gather_tokens(examples, scratch, model, first, count)
            inputs = nothing
        else:
            gather_tiles(examples, scratch, model, first, count)
            inputs = scratch.inputs
        if blocks > 1:
            scratch.row_weight[:count] = all_weights[first : first + count]
        state = count * sizes.hidden
        for layer in range(sizes.layers):
            if layer == 0:
                run_layer(sizes, weights, scratch, layer, count, inputs, 0)
            else:
                run_layer(sizes, weights, scratch, layer, count, scratch.hidden, (layer - 1) * states + state)
        top = (sizes.layers - 1) * states + state
        compute_logits(sizes, weights, scratch, sizes.positions * count, top)
        loss += softmax_gradient(sizes, scratch, count, scale, with_loss)
        readout_gradient(sizes, weights, scratch, count, top)
        for layer in range(sizes.layers - 1, -1, -1):
            if layer == 0:
                run_layer_backward(sizes, scratch, layer, count, inputs, 0)
            else:
                run_layer_backward(sizes, scratch, layer, count, scratch.hidden, (layer - 1) * states + state)
        first += count
    copy_bias_gradients(sizes, scratch.gradient)
    return loss


def _compile(sources: str) -> Callable:
    """The training kernel, cached on disk under the digest of all sources."""

    @njit(cache=True, nogil=True)
    def train_model(
        sizes, examples, weights, first_moment, second_moment, scratch, seed, model_id, model,
        batch_size, first_step, rates, decay, beta_1, beta_2, epsilon,
    ):  # fmt: skip
        """Train one model for some steps, in place.

        Args:
            sizes: `Sizes`.
            examples: `ExampleArrays` of the whole population.
            weights, first_moment, second_moment: packed, float32 [packed_size].
            scratch: this thread's `Scratch`.
            seed, model_id: uint64, keys of the random numbers.
            model: position of the model in the population.
            batch_size: examples per update.
            first_step: updates made before.
            rates: float64 [steps], the learning rate of each update.
            decay, beta_1, beta_2, epsilon: AdamW, float64.

        Returns:
            Loss of the last batch, float64.

        """
        assert sources
        loss = 0.0
        for index in range(rates.size):
            step = first_step + index
            rows, wanted = draw_batch(examples, scratch, seed, model_id, model, step, batch_size)
            scale = np.float32(1.0 / max(1, wanted))
            loss = batch_gradient(sizes, examples, weights, scratch, model, rows, scale, index == rates.size - 1)
            adamw_update(
                weights, first_moment, second_moment, scratch.gradient,
                step, rates[index], decay, beta_1, beta_2, epsilon,
            )  # fmt: skip
        return loss

    return train_model


train_model = _compile(SOURCES)
