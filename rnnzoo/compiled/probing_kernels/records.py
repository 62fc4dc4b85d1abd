"""What the compiled interrogation is told, keeps and returns.

Arrays are float32, one-dimensional and contiguous, and belong to one thread, which takes some of the networks. In their
shapes: N networks, T steps, C units in the core, P K and P O the inputs and answers of all probes, each probe's padded
to a multiple of 16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class CoreSizes(NamedTuple):
    """What the kernels know of the core and of this part of the networks.

    Args:
        first, networks: the first network of this part and their number.
        units, layers: of the core.
        tokens: whether inputs are softmaxed over tokens, else they go through a sigmoid to [low, low + span].
        low, span: of a dense input, float32.
    """

    first: int
    networks: int
    units: int
    layers: int
    tokens: bool
    low: np.float32
    span: np.float32


class CoreWeights(NamedTuple):
    """The core's weights, each also in the form that the backward pass multiplies by.

    Args:
        free: free inputs of each step [T, PK].
        asker, asker_bias, asker_back: [C, PK], [PK] and [PK, C].
        projection, projection_bias, projection_transposed: [PO, C], [C] and [C, PO].
        layers: per layer input weights [width, 4C], recurrent weights [C, 4C] and bias [4C]; the first layer's for
            inputs before the projection, width PO, the others' width C; matrices in panels.
        layers_back: from last layer to first, recurrent weights [4C, C] and input weights [4C, width], in panels.
    """

    free: Array
    asker: Array
    asker_bias: Array
    asker_back: Array
    projection: Array
    projection_bias: Array
    projection_transposed: Array
    layers: Array
    layers_back: Array


class Interrogation(NamedTuple):
    """What happened, kept for the backward pass.

    Args:
        inputs, answers: [T, N, PK], padding meaningless, and [T, N, PO], padding zero.
        layer_inputs: what each layer reads, and last the core's output: [layers + 1, T, N, C].
        core_states: outputs and cells [layers, T + 1, 2, N, C], the zero state first.
        core_gates, core_squashed: gate values [layers, T, N, 4C], tanh of the cells [layers, T, N, C].
        before, states, gates, log_probs: of the networks, see `probed_networks`; before is zero.
    """

    inputs: Array
    answers: Array
    layer_inputs: Array
    core_states: Array
    core_gates: Array
    core_squashed: Array
    before: Array
    states: Array
    gates: Array
    log_probs: Array


class InterrogationGradients(NamedTuple):
    """Where the backward pass leaves gradients, except those of the core's pre-activations, which replace its gates.

    Args:
        free: of the free numbers behind the inputs [T, N, PK], padding zero.
        projected: of what the projection makes of the answers [T, N, C].
        core_biases: of the core's biases [layers, 4C], to begin with zero.
    """

    free: Array
    projected: Array
    core_biases: Array
