"""Interactive probing as one compiled pass: a recurrent core asks networks, reads their answers and asks again.

One thread takes some of the networks through the whole interrogation, forward and back, so that nothing is waited for
between steps. The core's layers advance for all of these networks together. Shapes are those of `records`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from rnnzoo.compiled.probing_kernels.core import advance_core, advance_core_backward
from rnnzoo.compiled.probing_kernels.packed_weights import pad_input_weights
from rnnzoo.compiled.probing_kernels.probed_networks import answer_position, answer_position_backward, scratch_of
from rnnzoo.compiled.probing_kernels.sources import SOURCES
from rnnzoo.compiled.vector_kernels.activations import exponential, sigmoid_fraction
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.rows import add_row, copy_row, softmax_row
from rnnzoo.compiled.vector_kernels.vectors import LANES, address, load, splat, store, sum_of_lanes


@njit
def _squash(sizes, core, values, at):
    """Free numbers of one probe [padded_inputs] as soft inputs, in place; a token's padding is so low that it is 0."""
    if not core.tokens:
        for i in range(0, sizes.padded_inputs, LANES):
            numerator, denominator = sigmoid_fraction(load(values, at + i))
            store(values, at + i, splat(core.low) + splat(core.span) * (numerator / denominator))
        return
    mass, _ = softmax_row(values, at, sizes.padded_inputs, values, at)
    for i in range(0, sizes.padded_inputs, LANES):
        store(values, at + i, load(values, at + i) / splat(mass))


@njit
def _squash_gradient(sizes, core, values, gradient, at):
    """Gradient with respect to soft inputs of one probe to that of its free numbers, in place; padding stays 0."""
    if not core.tokens:
        for i in range(0, sizes.padded_inputs, LANES):
            above = load(values, at + i) - splat(core.low)
            slope = above * (splat(core.span) - above) / splat(core.span)
            store(gradient, at + i, load(gradient, at + i) * slope)
        return
    total = splat(np.float32(0.0))
    for i in range(0, sizes.padded_inputs, LANES):
        total = total + load(gradient, at + i) * load(values, at + i)
    mean = splat(sum_of_lanes(total))
    for i in range(0, sizes.padded_inputs, LANES):
        store(gradient, at + i, (load(gradient, at + i) - mean) * load(values, at + i))


@njit
def _ask(sizes, core, weights, kept, step):
    """The inputs of one step: free numbers, from the second step on shifted by what the core makes of its output."""
    width, units = sizes.rows * sizes.padded_inputs, core.units
    at = step * core.networks * width
    for network in range(core.networks):
        copy_row(weights.free, step * width, kept.inputs, at + network * width, width)
        if step > 0:
            add_row(weights.asker_bias, 0, kept.inputs, at + network * width, width)
    if step > 0:
        state = (core.layers * sizes.positions + step - 1) * core.networks * units
        multiply_accumulate(
            core.networks, width, units,
            address(kept.inputs, at), width, address(kept.layer_inputs, state), units, 1,
            address(weights.asker, 0), width, True,
        )  # fmt: skip
    for probe in range(core.networks * sizes.rows):
        _squash(sizes, core, kept.inputs, at + probe * sizes.padded_inputs)


def _compile(sources: str) -> tuple[Callable, Callable]:
    """Both entry points, cached on disk under the digest of all kernel sources."""

    @njit(cache=True, nogil=True)
    def interrogate(sizes, core, packed, weights, kept):
        """Let the core interrogate its part of the networks, packed as for `population.answer`."""
        assert sources
        questions, answers = sizes.rows * sizes.padded_inputs, sizes.rows * sizes.padded_outputs
        for step in range(sizes.positions):
            _ask(sizes, core, weights, kept, step)
            for network in range(core.networks):
                at = step * core.networks + network
                answer_position(
                    sizes, packed, core.first + network, network, step, kept.inputs, at * questions,
                    sizes.padded_inputs, kept.before, kept.states, kept.gates, kept.log_probs,
                )  # fmt: skip
                said = (network * sizes.positions + step) * answers
                for i in range(0, answers, LANES):
                    store(kept.answers, at * answers + i, exponential(load(kept.log_probs, said + i)))
            advance_core(sizes, core, weights, kept, step)

    @njit(cache=True, nogil=True)
    def interrogate_backward(sizes, core, flat, weights, kept, d_output, gradients):
        """Back through `interrogate`, from the gradient of the core's last output [N, C], which is changed."""
        assert sources
        questions, answers, networks = (
            sizes.rows * sizes.padded_inputs,
            sizes.rows * sizes.padded_outputs,
            core.networks,
        )
        d_core = np.zeros(core.layers * 2 * networks * core.units, np.float32)
        d_networks = np.zeros(kept.before.size, np.float32)
        d_answers = np.empty(networks * answers, np.float32)
        by_input, d_gates, d_logits = scratch_of(sizes, networks)
        for network in range(networks):
            pad_input_weights(sizes, flat, core.first + network, by_input, network)
        for step in range(sizes.positions - 1, -1, -1):
            advance_core_backward(sizes, core, weights, kept, gradients, step, d_output, d_core, d_answers)
            at = step * networks
            for i in range(0, networks * answers, LANES):
                store(d_answers, i, load(d_answers, i) * load(kept.answers, at * answers + i))
            for network in range(networks):
                answer_position_backward(
                    sizes, flat, core.first + network, network, step, kept.before, kept.states, kept.gates,
                    kept.log_probs, d_answers, network * answers, d_networks, gradients.free,
                    (at + network) * questions, by_input, network, d_gates, d_logits,
                )  # fmt: skip
            for probe in range(networks * sizes.rows):
                place = at * questions + probe * sizes.padded_inputs
                _squash_gradient(sizes, core, kept.inputs, gradients.free, place)
            multiply_accumulate(
                networks, core.units, questions,
                address(d_output, 0), core.units, address(gradients.free, at * questions), questions, 1,
                address(weights.asker_back, 0), core.units, False,
            )  # fmt: skip

    return interrogate, interrogate_backward


interrogate, interrogate_backward = _compile(SOURCES)
