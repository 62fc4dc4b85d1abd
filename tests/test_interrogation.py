"""Interactive probing in one compiled pass against the same step by step in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import with_one_and_three_threads
from torch import Tensor

from rnnzoo.compiled.fused_interrogation import can_interrogate
from rnnzoo.encoders import Context, InputSpace, Rows
from rnnzoo.encoders.probing import InteractiveProbingEncoder
from rnnzoo.networks.network import Network
from rnnzoo.networks.symmetry import symmetry_of

pytestmark = pytest.mark.slow


def random_encoder(
    network: Network, kind: str = "tokens", probes: int = 2, core_size: int = 32, core_layers: int = 2, steps: int = 4
) -> InteractiveProbingEncoder:
    context = Context(network, InputSpace(kind, network.input_size, -0.4, 2.8), probe_length=steps)
    encoder = InteractiveProbingEncoder(context, probes, core_size, core_layers=core_layers, hidden_size=16)
    with torch.no_grad():
        encoder.free_inputs.normal_()
        encoder.asker.weight.normal_(0, 0.3)
    return encoder


def gradients(encoder: InteractiveProbingEncoder, z: Tensor) -> tuple[Tensor, ...]:
    direction = torch.sin(torch.arange(z.numel(), dtype=z.dtype)).view_as(z)
    return torch.autograd.grad((z * direction).sum(), tuple(encoder.parameters()), materialize_grads=True)


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(["tokens", "dense"]),
    network=st.builds(Network, st.integers(2, 18), st.sampled_from([16, 32]), st.integers(1, 3), st.integers(2, 18)),
    probes=st.integers(1, 3),
    core_size=st.sampled_from([16, 48]),
    core_layers=st.integers(1, 3),
    steps=st.integers(1, 5),
    models=st.integers(1, 5),
)
def test_compiled_probing_is_the_stepwise_one(
    kind: str, network: Network, probes: int, core_size: int, core_layers: int, steps: int, models: int
) -> None:
    weights = 0.3 * torch.randn(models, network.parameter_count)
    encoder, rows = random_encoder(network, kind, probes, core_size, core_layers, steps), Rows(network, weights)
    assert can_interrogate(rows.prober, encoder.core)
    z = encoder(rows)
    assert rows.prober.queries == probes * steps
    sent, found = encoder.probing_inputs(rows), gradients(encoder, z)
    exact_rows, encoder = Rows(network, weights.double()), encoder.double()
    assert not can_interrogate(exact_rows.prober, encoder.core)
    exact = encoder(exact_rows)
    assert torch.allclose(z.double(), exact, atol=1e-5)
    assert sent.shape == (models, probes, steps, network.input_size)
    assert torch.allclose(sent.double(), encoder.probing_inputs(exact_rows), atol=1e-5)
    for mine, expected in zip(found, gradients(encoder, exact), strict=True):
        error = torch.linalg.vector_norm(mine.double() - expected)
        assert error <= 1e-5 * torch.linalg.vector_norm(expected) + 1e-9


def test_any_number_of_threads_gives_the_stepwise_answers_and_gradients() -> None:
    network = Network(5, 32, 2, 5)
    torch.manual_seed(0)
    encoder = random_encoder(network, probes=4, steps=10)
    weights = torch.randn(60, network.parameter_count)

    def work() -> tuple[Tensor, tuple[Tensor, ...]]:
        z = encoder(Rows(network, weights))
        return z, gradients(encoder, z)

    found = with_one_and_three_threads(work)
    exact = encoder.double()(Rows(network, weights.double()))
    exact_gradients = gradients(encoder, exact)
    for z, of_parameters in found:
        assert torch.allclose(z.double(), exact, atol=1e-5)
        for mine, expected in zip(of_parameters, exact_gradients, strict=True):
            error = torch.linalg.vector_norm(mine.double() - expected)
            assert error <= 1e-4 * torch.linalg.vector_norm(expected) + 1e-9


def test_compiled_probing_does_not_see_the_order_of_hidden_units() -> None:
    network = Network(6, 32, 2, 6)
    encoder = InteractiveProbingEncoder(Context(network, InputSpace("tokens", 6), probe_length=7))
    weights = 0.4 * torch.randn(4, network.parameter_count)
    symmetry = symmetry_of(network)
    renumbered = symmetry.permute(weights, symmetry.random_permutations(4, np.random.default_rng(1)))
    assert not torch.equal(weights, renumbered)
    assert torch.allclose(encoder(Rows(network, weights)), encoder(Rows(network, renumbered)), atol=1e-5)


def test_a_second_backward_pass_is_refused() -> None:
    network = Network(5, 16, 1, 5)
    encoder = random_encoder(network)
    z = encoder(Rows(network, torch.randn(2, network.parameter_count))).sum()
    z.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()
