"""One step of the core that interrogates networks, for all of a thread's networks together, and back."""

from __future__ import annotations

from numba import njit

from rnnzoo.compiled.probing_kernels.layer import advance_layer, advance_layer_backward
from rnnzoo.compiled.probing_kernels.panels import multiply_panels
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.rows import add_row, copy_row
from rnnzoo.compiled.vector_kernels.vectors import address


@njit
def advance_core(sizes, core, weights, kept, step):
    """One step of the core, from the answers to its output."""
    width, units, networks = sizes.rows * sizes.padded_outputs, core.units, core.networks
    size, stride = networks * units, sizes.positions * networks * units
    at = step * size
    for network in range(networks):
        copy_row(weights.projection_bias, 0, kept.layer_inputs, at + network * units, units)
    multiply_accumulate(
        networks, units, width,
        address(kept.layer_inputs, at), units, address(kept.answers, step * networks * width), width, 1,
        address(weights.projection, 0), units, True,
    )  # fmt: skip
    given, given_at, weights_at = kept.answers, step * networks * width, 0
    for layer in range(core.layers):
        past = (layer * (sizes.positions + 1) + step) * 2 * size
        advance_layer(
            networks, units, weights.layers, weights_at, width,
            given, given_at, width, kept.core_states, past, kept.core_states, past + 2 * size,
            kept.core_gates, (layer * sizes.positions + step) * 4 * size,
            kept.core_squashed, (layer * sizes.positions + step) * size, step == 0,
        )  # fmt: skip
        copy_row(kept.layer_inputs, at + layer * stride, kept.layer_inputs, at + (layer + 1) * stride, size)
        add_row(kept.core_states, past + 2 * size, kept.layer_inputs, at + (layer + 1) * stride, size)
        weights_at += 4 * units * (width + units + 1)
        given, given_at, width = kept.layer_inputs, at + (layer + 1) * stride, units


@njit
def advance_core_backward(sizes, core, weights, kept, gradients, step, d_down, d_core, d_answers):
    """Back through `advance_core`; the values of the core's gates end as the gradient of its pre-activations.

    Args:
        sizes, core, weights, kept, gradients, step: sizes, weights, what happened, where gradients go.
        d_down: gradient of the core's output [N, C]; changed.
        d_core: gradients of outputs and cells after the step [layers, 2, N, C], end as those before it, if any.
        d_answers: receives the gradient of the answers [N, PO].

    """
    answers, units, networks = sizes.rows * sizes.padded_outputs, core.units, core.networks
    size, columns, weights_at = networks * units, 4 * units, 0
    for layer in range(core.layers - 1, -1, -1):
        gradient_at, at = layer * 2 * size, (layer * sizes.positions + step) * networks
        add_row(d_down, 0, d_core, gradient_at, size)
        advance_layer_backward(
            networks, units, kept.core_gates, at * columns, kept.core_squashed, at * units,
            kept.core_states, (layer * (sizes.positions + 1) + step) * 2 * size + size,
            d_core, gradient_at, kept.core_gates, at * columns,
        )  # fmt: skip
        for network in range(networks):
            add_row(kept.core_gates, (at + network) * columns, gradients.core_biases, layer * columns, columns)
        if step > 0:
            multiply_panels(
                networks, units, columns, address(d_core, gradient_at), units,
                address(kept.core_gates, at * columns), columns,
                address(weights.layers_back, weights_at), False,
            )  # fmt: skip
        weights_at += columns * units
        target, width = (d_answers, answers) if layer == 0 else (d_down, units)
        multiply_panels(
            networks, width, columns, address(target, 0), width,
            address(kept.core_gates, at * columns), columns, address(weights.layers_back, weights_at), layer > 0,
        )  # fmt: skip
        weights_at += columns * width
    copy_row(d_down, 0, gradients.projected, step * size, size)
    multiply_accumulate(
        networks, answers, units,
        address(d_answers, 0), answers, address(d_down, 0), units, 1,
        address(weights.projection_transposed, 0), answers, True,
    )  # fmt: skip
