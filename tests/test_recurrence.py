"""The hand-written backward passes against numerical gradients, and the black-box runner against the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from rnnzoo.emulation.emulator import Emulator
from rnnzoo.encoders.parts.edges import update_edges
from rnnzoo.encoders.parts.layers import ResidualCore
from rnnzoo.networks.network import Network
from rnnzoo.networks.recurrence import (
    WeightGradients,
    double_cell_gate,
    lstm_layer,
    lstm_sequence,
    lstm_step,
)


def numbers(*shape: int, grad: bool = True) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=grad)


def test_gradients_of_a_whole_sequence() -> None:
    population = (numbers(2, 2, 12, grad=False), numbers(2, 3, 12, grad=False), numbers(2, 1, 12, grad=False))
    for models, positions in ((1, 4), (2, 4), (2, 1)):
        assert gradcheck(lstm_sequence, (numbers(models, positions, 3, 2), *population))


def test_a_layer_of_every_make_is_pytorchs() -> None:
    """oneDNN takes over in single precision only, so that one is compared with double precision."""

    def by_population(inputs: Tensor, *weights: Tensor) -> Tensor:
        """A population of one, whose weights get no gradient."""
        by_input, recurrent, bias = (double_cell_gate(weight.detach().t()) for weight in weights)
        return lstm_sequence(inputs[None], by_input[None], recurrent[None], bias[None, None])[0]

    plain = nn.LSTM(5, 7).double()
    with torch.no_grad():
        plain.bias_hh_l0.zero_()
    inputs, direction = numbers(6, 4, 5), numbers(6, 4, 7, grad=False)
    weights = (plain.weight_ih_l0, plain.weight_hh_l0, plain.bias_ih_l0)
    expected = plain(inputs)[0]
    gradients = torch.autograd.grad((expected * direction).sum(), (inputs, *weights))
    for layer, dtype, tolerance in (
        (by_population, torch.float64, 1e-12),
        (lstm_layer, torch.float64, 1e-12),
        (lstm_layer, torch.float32, 1e-5),
    ):
        given = [tensor.detach().to(dtype).requires_grad_() for tensor in (inputs, *weights)]
        outputs = layer(*given)
        assert torch.allclose(outputs.double(), expected, atol=tolerance)
        reached = given[:1] if layer is by_population else given
        found = torch.autograd.grad((outputs * direction.to(dtype)).sum(), reached)
        for ours, theirs in zip(found, gradients, strict=False):
            assert torch.allclose(ours.double(), theirs, atol=tolerance)


@pytest.mark.parametrize("z_enters", ["first", "every"])
def test_the_emulator_joins_its_linear_maps_without_changing_them(z_enters: str) -> None:
    emulator = Emulator(Network(3, 32, 2, 4), z_size=5, hidden_size=6, z_enters=z_enters).double()
    z, inputs = numbers(2, 5), numbers(7, 2, 3, grad=False)
    hidden, conditioning = emulator.projection(inputs), emulator.condition(z)
    hidden = hidden + conditioning if z_enters == "every" else torch.cat([hidden[:1] + conditioning, hidden[1:]])
    for layer in emulator.layers:
        hidden = layer(hidden)
    expected = emulator.leave(hidden).log_softmax(-1)
    found = emulator(z, inputs)
    assert torch.allclose(found, expected)
    leaves = (z, *emulator.parameters())
    direction = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad((found * direction).sum(), leaves),
        torch.autograd.grad((expected * direction).sum(), leaves),
        strict=True,
    ):
        assert torch.allclose(ours, theirs)


def test_gradients_of_single_steps_with_weights_gathered_at_the_end() -> None:
    def session(inputs: Tensor, *weights: Tensor) -> Tensor:
        gradients = WeightGradients()
        state = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64)
        state = state[0], gradients.begin(weights, state[1])
        for step in inputs:
            state = lstm_step(step, state, tuple(weight.detach() for weight in weights), gradients)
        return state[0]

    assert gradcheck(session, (numbers(3, 2, 2), numbers(2, 12), numbers(3, 12), numbers(12)))


def test_gradients_of_edges() -> None:
    inputs = (numbers(2, 3, 4, 2), numbers(2, 5), numbers(2, 3, 5), numbers(2, 4, 5))
    assert gradcheck(update_edges, inputs)
    for outputs in (slice(1), slice(1, None), slice(1, 2), slice(2, 3)):
        assert gradcheck(lambda *x, kept=outputs: update_edges(*x)[kept], inputs)
    square = (numbers(2, 3, 3, 2), numbers(2, 5), numbers(2, 3, 5), numbers(2, 3, 5))
    assert gradcheck(lambda *x: update_edges(*x, square=True), square)


def test_a_core_gives_the_same_stepped_and_whole() -> None:
    core = ResidualCore(2, 6, 5).double()
    inputs = numbers(4, 3, 6)
    plain = core.projection(inputs)
    for layer in core.layers:
        plain = plain + layer(plain)
    assert torch.allclose(core(inputs), plain)
    whole = core(inputs)[-1]
    session = core.session(3)
    for step in inputs:
        stepped = session.step(step)
    assert torch.allclose(whole, stepped)
    parameters = (inputs, *core.parameters())
    for a, b in zip(
        torch.autograd.grad(whole.square().sum(), parameters),
        torch.autograd.grad(stepped.square().sum(), parameters),
        strict=True,
    ):
        assert torch.allclose(a, b)
