"""The black-box runner, compiled and plain, against running the networks themselves in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import with_one_and_three_threads

from rnnzoo.compiled.fused_networks import FusedNetworks, can_fuse
from rnnzoo.errors import UsageError
from rnnzoo.networks.lstm import run
from rnnzoo.networks.network import Network
from rnnzoo.networks.prober import Prober


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("shared", [True, False])
def test_the_prober_answers_as_the_networks_do(layers: int, shared: bool) -> None:
    network = Network(3, 6, layers, 4)
    weights = torch.randn(5, network.parameter_count, dtype=torch.float64)
    inputs = torch.randn(1 if shared else 5, 2, 7, 3, dtype=torch.float64, requires_grad=True)
    expected = run(network, weights, inputs)
    prober = Prober(network, weights)
    whole = prober.run(inputs)
    assert prober.queries == 14
    prober.start(2)
    stepped = torch.stack([prober.step(inputs[:, :, position]) for position in range(7)], dim=2)
    assert prober.queries == 28
    direction = torch.randn_like(expected)
    gradient = torch.autograd.grad((expected * direction).sum(), inputs)[0]
    for answers in (whole, stepped):
        assert torch.allclose(answers, expected)
        assert torch.allclose(torch.autograd.grad((answers * direction).sum(), inputs)[0], gradient)


def test_the_prober_refuses_misshapen_inputs() -> None:
    prober = Prober(Network(3, 6, 1, 4), torch.zeros(2, Network(3, 6, 1, 4).parameter_count))
    with pytest.raises(UsageError, match="start"):
        prober.step(torch.zeros(2, 1, 3))
    prober.start(2)
    with pytest.raises(UsageError, match=r"\(2, 1, 3\)"):
        prober.step(torch.zeros(2, 1, 3))
    with pytest.raises(UsageError, match="LSTM 1 x 6"):
        prober.run(torch.zeros(2, 1, 5, 4))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    layers=st.integers(1, 3),
    input_size=st.integers(1, 20),
    hidden_size=st.sampled_from([16, 32, 48]),
    output_size=st.integers(2, 33),
    models=st.integers(1, 4),
    rows=st.integers(1, 3),
    positions=st.integers(1, 6),
    shared=st.booleans(),
)
def test_compiled_answers_and_gradients_are_the_networks(
    layers: int,
    input_size: int,
    hidden_size: int,
    output_size: int,
    models: int,
    rows: int,
    positions: int,
    shared: bool,
) -> None:
    network = Network(input_size, hidden_size, layers, output_size)
    weights = 0.3 * torch.randn(models, network.parameter_count)
    assert can_fuse(network, weights)
    inputs = torch.randn(1 if shared else models, rows, positions, input_size)
    exact_inputs = inputs.double().requires_grad_()
    expected = run(network, weights.double(), exact_inputs)
    direction = torch.randn_like(expected)
    gradient = torch.autograd.grad((expected * direction).sum(), exact_inputs)[0]
    inputs.requires_grad_()
    prober = Prober(network, weights)
    whole = prober.run(inputs)
    prober.start(rows)
    stepped = torch.stack([prober.step(inputs[:, :, position]) for position in range(positions)], dim=2)
    assert torch.equal(whole, stepped)
    for answers in (whole, stepped):
        assert torch.allclose(answers.double(), expected, atol=1e-5)
        found = torch.autograd.grad((answers * direction).sum(), inputs)[0].double()
        assert torch.linalg.vector_norm(found - gradient) <= 1e-5 * torch.linalg.vector_norm(gradient) + 1e-9


@pytest.mark.slow
def test_compiled_answers_do_not_depend_on_threads() -> None:
    network = Network(5, 32, 2, 5)
    weights = torch.randn(9, network.parameter_count)
    inputs = torch.randn(9, 8, 40, 5)

    def work() -> tuple[torch.Tensor, ...]:
        given_inputs = inputs.clone().requires_grad_()
        answers = Prober(network, weights).run(given_inputs)
        return answers, *torch.autograd.grad(answers.square().sum(), given_inputs)

    assert all(torch.equal(one, three) for one, three in zip(*with_one_and_three_threads(work), strict=True))


@pytest.mark.parametrize(
    ("hidden_size", "dtype"), [(12, torch.float32), (16, torch.float64)], ids=["hidden-size", "precision"]
)
def test_what_cannot_be_compiled_is_left_to_pytorch(hidden_size: int, dtype: torch.dtype) -> None:
    network = Network(3, hidden_size, 1, 4)
    weights = torch.randn(2, network.parameter_count, dtype=dtype)
    assert not can_fuse(network, weights)
    assert not isinstance(Prober(network, weights)._networks, FusedNetworks)
