"""Interactive probing as one differentiable step on the CPU: networks and core in a single compiled pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rnnzoo.compiled.compilation import PADDING, can_compile
from rnnzoo.compiled.fused_networks import LEAST_WORK, FusedNetworks, numbers
from rnnzoo.compiled.threads import in_parts
from rnnzoo.encoders.parts.layers import ResidualCore
from rnnzoo.encoders.protocol import InputSpace
from rnnzoo.networks.prober import Prober

_IMPOSSIBLE = -1e30


def can_interrogate(prober: Prober, core: ResidualCore) -> bool:
    """Whether `interrogate` takes these networks and this core."""
    return prober.fused is not None and core.hidden_size % PADDING == 0 and can_compile(core.projection.weight)


def interrogate(
    prober: Prober, space: InputSpace, free_inputs: Tensor, asker: nn.Linear, core: ResidualCore
) -> tuple[Tensor, Tensor]:
    """Let a core ask networks step by step, each question shifted by what it makes of the answers so far.

    The same as stepping `prober` and `core` in turn; gradients reach the free inputs, the asker and the core.

    Args:
        prober: M networks for which `can_interrogate` holds.
        space: how free numbers become inputs.
        free_inputs: free numbers [probes, steps, input_size].
        asker: from the core's output to shifts of the next free numbers.
        core: reads the answers.

    Returns:
        The core's last output [M, core_size], and the inputs sent, [M, probes, steps, input_size], without gradient.
    """
    assert prober.fused is not None
    probes, steps, _ = free_inputs.shape
    prober.queries += probes * steps
    layers = [tensor for weights in core.layer_weights() for tensor in weights]
    parameters = free_inputs, asker.weight, asker.bias, core.projection.weight, core.projection.bias, *layers
    return _Interrogate.apply(prober.fused, space, *parameters)


@dataclass
class _Part:
    """What one thread works on: its networks' kernel arguments, and the same arrays as tensors."""

    core: Any
    kept: Any
    inputs: Tensor
    answers: Tensor
    layer_inputs: Tensor
    core_states: Tensor
    core_gates: Tensor


class _Interrogate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, networks: FusedNetworks, space: InputSpace, free_inputs: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        from rnnzoo.compiled.probing_kernels.interrogation import interrogate

        probes, steps, _ = free_inputs.shape
        sizes = networks.sizes(steps, probes, False)
        weights = _pack(sizes, space, free_inputs, parameters)
        units, layers, bounds = parameters[0].shape[1], len(parameters[4:]) // 3, networks.parts(LEAST_WORK)
        parts = {part[0]: _new_part(networks, sizes, space, units, layers, *part) for part in bounds}

        def run(first: int, _: int) -> None:
            interrogate(sizes, parts[first].core, networks.packed, weights, parts[first].kept)

        in_parts(bounds, run)
        ctx.networks, ctx.sizes, ctx.weights, ctx.parts, ctx.bounds = networks, sizes, weights, parts, bounds
        state = torch.cat([part.layer_inputs[-1, -1] for part in parts.values()])
        inputs = torch.cat([_narrowed(part.inputs, probes, sizes.inputs) for part in parts.values()], dim=1)
        sent = inputs.permute(1, 2, 0, 3)
        ctx.mark_non_differentiable(sent)
        return state, sent

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_state: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        from rnnzoo.compiled.probing_kernels.interrogation import interrogate_backward
        from rnnzoo.compiled.probing_kernels.records import InterrogationGradients

        networks, sizes, parts = ctx.networks, ctx.sizes, ctx.parts
        if parts is None:
            raise RuntimeError("The backward pass overwrites what it starts from: it cannot be run a second time.")
        ctx.parts = None
        gradients = {first: _new_gradients(part) for first, part in parts.items()}

        def interrogate_part_backward(first: int, last: int) -> None:
            part, results = parts[first], InterrogationGradients(*map(numbers, gradients[first]))
            # The kernel uses up what it is given.
            d_output = numbers(d_state[first:last].clone(memory_format=torch.contiguous_format))
            interrogate_backward(sizes, part.core, networks.flat, ctx.weights, part.kept, d_output, results)

        in_parts(ctx.bounds, interrogate_part_backward)
        return None, None, *_gradients(sizes, list(parts.values()), list(gradients.values()))


def _new_gradients(part: _Part) -> tuple[Tensor, Tensor, Tensor]:
    """Where the kernel leaves the gradients of free numbers, of what enters the core and of its biases."""
    return (
        torch.empty_like(part.inputs),
        torch.empty_like(part.layer_inputs[0]),
        torch.zeros_like(part.core_gates[:, 0, 0]),
    )


def _new_part(
    networks: FusedNetworks, sizes: Any, space: InputSpace, units: int, layers: int, first: int, last: int
) -> _Part:
    from rnnzoo.compiled.probing_kernels.records import CoreSizes, Interrogation

    count, steps, rows = last - first, sizes.positions, sizes.rows
    hidden = networks.network.layers * rows * sizes.hidden
    low, span = np.float32(space.low), np.float32(space.high - space.low)
    inputs = torch.empty(steps, count, rows * sizes.padded_inputs)
    answers = torch.empty(steps, count, rows * sizes.padded_outputs)
    layer_inputs = torch.empty(layers + 1, steps, count, units)
    core_states = torch.empty(layers, steps + 1, 2, count, units)
    core_states[:, 0] = 0
    core_gates = torch.empty(layers, steps, count, 4 * units)
    squashed = np.empty(layers * steps * count * units, np.float32)
    before = np.zeros(count * 2 * hidden, np.float32)
    states, network_gates = (np.empty(count * steps * each * hidden, np.float32) for each in (2, 5))
    log_probs = np.empty(count * steps * rows * sizes.padded_outputs, np.float32)
    kept = Interrogation(
        numbers(inputs),
        numbers(answers),
        numbers(layer_inputs),
        numbers(core_states),
        numbers(core_gates),
        squashed,
        before,
        states,
        network_gates,
        log_probs,
    )
    core = CoreSizes(first, count, units, layers, space.kind == "tokens", low, span)
    return _Part(core, kept, inputs, answers, layer_inputs, core_states, core_gates)


def _pack(sizes: Any, space: InputSpace, free_inputs: Tensor, parameters: Sequence[Tensor]) -> Any:
    """The core's weights in the forms that the kernels take."""
    from rnnzoo.compiled.probing_kernels.records import CoreWeights

    asker, asker_bias, projection, projection_bias, *layers = (parameter.detach() for parameter in parameters)

    def questions(tensor: Tensor, fill: float = 0.0) -> Tensor:
        return _widened(tensor, sizes.rows, sizes.padded_inputs, fill)

    def answers(tensor: Tensor) -> Tensor:
        return _widened(tensor, sizes.rows, sizes.padded_outputs)

    free = free_inputs.detach().transpose(0, 1).flatten(1)
    by_question, by_answer = questions(asker.t()), answers(projection)
    forward: list[Tensor] = []
    back: list[Tensor] = []
    for index in range(0, len(layers), 3):
        weight_ih, weight_hh, bias = layers[index : index + 3]
        by_input = weight_ih if index else answers(weight_ih)
        forward += [by_input.t(), weight_hh.t(), bias]
        back = [weight_hh, by_input, *back]
    return CoreWeights(
        numbers(questions(free, _IMPOSSIBLE if space.kind == "tokens" else 0.0)),
        numbers(by_question),
        numbers(questions(asker_bias)),
        numbers(by_question.t()),
        numbers(by_answer.t()),
        numbers(projection_bias),
        numbers(by_answer),
        _joined_panels(forward),
        _joined_panels(back),
    )


def _joined_panels(tensors: Sequence[Tensor]) -> NDArray[np.float32]:
    """Vectors as they are and matrices in the panels that the kernels multiply by, one after the other."""
    from rnnzoo.compiled.probing_kernels.panels import PANEL

    joined = torch.empty(sum(tensor.numel() for tensor in tensors))
    for tensor, part in zip(tensors, joined.split([tensor.numel() for tensor in tensors]), strict=True):
        if tensor.ndim == 1:
            part.copy_(tensor)
            continue
        depth, columns = tensor.shape
        whole = columns // PANEL * PANEL
        panels, rest = part[: depth * whole].view(-1, depth, PANEL), part[depth * whole :].view(depth, -1)
        panels.copy_(tensor[:, :whole].unflatten(1, (-1, PANEL)).transpose(0, 1))
        rest.copy_(tensor[:, whole:])
    return numbers(joined)


def _gradients(sizes: Any, parts: Sequence[_Part], of_parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
    """Gradients of all parameters, each from one product over the steps and networks of all parts."""
    d_free, d_projected, d_biases = zip(*of_parts, strict=True)
    d_questions = _narrowed(torch.cat(d_free, dim=1), sizes.rows, sizes.inputs)
    answers = torch.cat([part.answers for part in parts], dim=1)
    said = _narrowed(answers, sizes.rows, sizes.outputs).flatten(2)
    layer_inputs = torch.cat([part.layer_inputs for part in parts], dim=2)
    states = torch.cat([part.core_states[:, :-1, 0] for part in parts], dim=2)
    d_gates = torch.cat([part.core_gates for part in parts], dim=2)
    d_inner, d_asked = torch.cat(d_projected, dim=1), d_questions[1:].flatten(2)
    gradients = [d_questions.sum(1).transpose(0, 1)]
    gradients += [_outer(d_asked, layer_inputs[-1, :-1]), d_asked.sum((0, 1))]
    gradients += [_outer(d_inner, said), d_inner.sum((0, 1))]
    for layer, d_layer in enumerate(d_gates):
        d_bias = torch.stack([part[layer] for part in d_biases]).sum(0)
        gradients += [_outer(d_layer, layer_inputs[layer] if layer else said), _outer(d_layer, states[layer]), d_bias]
    return gradients


def _outer(d_outputs: Tensor, inputs: Tensor) -> Tensor:
    """Gradient of a weight [L, K] over all steps and networks, [T, N, L] and [T, N, K]."""
    return d_outputs.flatten(0, 1).t() @ inputs.flatten(0, 1)


def _widened(tensor: Tensor, probes: int, width: int, fill: float = 0.0) -> Tensor:
    """[..., probes * K] as [..., probes * width], what is new filled."""
    apart = tensor.unflatten(-1, (probes, -1))
    return nn.functional.pad(apart, (0, width - apart.shape[-1]), value=fill).flatten(-2)


def _narrowed(tensor: Tensor, probes: int, width: int) -> Tensor:
    """[..., probes * K] as [..., probes, width], the rest left out."""
    return tensor.unflatten(-1, (probes, -1))[..., :width]
