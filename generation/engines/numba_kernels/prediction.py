"""Run a model on rows of tokens."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from rnnzoo.generation.engines.numba_kernels.forward import derive_forward_weights
from rnnzoo.generation.engines.numba_kernels.gate_blocks import blocks_of
from rnnzoo.generation.engines.numba_kernels.inference import (
    advance,
    new_starts,
    normalisation_room,
    normalise_rows,
    reset_states,
    write_log_probs,
)
from rnnzoo.generation.engines.numba_kernels.sources import SOURCES
from rnnzoo.generation.engines.numba_kernels.visible_tiles import visible_inputs


def _compile(sources: str) -> Callable:
    """The prediction kernel, cached on disk under the digest of all sources."""

    @njit(cache=True, nogil=True)
    def predict_model(sizes, weights, scratch, inputs, log_probs):
        """Run one model on some rows of tokens; see `Engine.predict`.

        Args:
            sizes, weights, scratch: the model, packed, and this thread's working memory.
            inputs: uint8 [n, positions].
            log_probs: float32 [n, positions, outputs], filled.

        """
        assert sources
        derive_forward_weights(sizes, weights, scratch)
        starts, nothing = new_starts(sizes, weights, scratch.table), visible_inputs(blocks_of(sizes.rows), 1, 0)
        columns, masses, tops = normalisation_room(sizes)
        for begin in range(0, len(inputs), sizes.rows):
            rows = min(sizes.rows, len(inputs) - begin)
            reset_states(sizes, scratch, rows)
            for position in range(inputs.shape[1]):
                for row in range(rows):
                    starts.rows[row] = inputs[begin + row, position] * 4 * sizes.hidden
                advance(sizes, weights, scratch, rows, position, starts, nothing, 0)
                normalise_rows(scratch.logits, rows, sizes.outputs, sizes.padded_outputs, columns, masses, tops)
                for row in range(rows):
                    write_log_probs(
                        scratch.logits, row * sizes.padded_outputs, masses[row], tops[row],
                        log_probs[begin + row, position],
                    )  # fmt: skip

    return predict_model


predict_model = _compile(SOURCES)
