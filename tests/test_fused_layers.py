"""All equivariant layers in one compiled pass against one layer after the other in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import with_one_and_three_threads
from torch import Tensor

import rnnzoo.encoders.dwsnet
from rnnzoo.encoders.dwsnet import DWSNetEncoder
from rnnzoo.encoders.edge_jobs import PART
from rnnzoo.encoders.protocol import Context, InputSpace, Rows
from rnnzoo.network import Network

DRAWS = 8


def encoder_of(network: Network, channels: int, layers: int) -> DWSNetEncoder:
    torch.manual_seed(channels + layers)
    return DWSNetEncoder(Context(network, InputSpace("tokens", network.input_size), 4), channels, layers, 16)


def results(encoder: DWSNetEncoder, weights: Tensor) -> list[Tensor]:
    """The embedding, and the gradient of a fixed function of it for every parameter."""
    answers = encoder(Rows(encoder.context.network, weights))
    loss = (answers * torch.arange(answers.numel(), dtype=answers.dtype).view_as(answers).cos()).sum()
    return [answers.detach(), *torch.autograd.grad(loss, list(encoder.parameters()))]


@settings(max_examples=25, deadline=None)
@given(
    hidden_size=st.integers(1, 12),
    inputs=st.integers(1, 5),
    network_layers=st.integers(1, 3),
    models=st.sampled_from([1, 2, PART, PART + 1]),
    channels=st.sampled_from([16, 32, 48, 64, 80]),
    layers=st.integers(2, 4),
)
def test_embedding_and_gradients_are_the_plain_ones(
    hidden_size: int, inputs: int, network_layers: int, models: int, channels: int, layers: int
) -> None:
    network, compiled = Network(inputs, hidden_size, network_layers, 3), []
    can_fuse = rnnzoo.encoders.dwsnet.can_fuse_layers

    def watched(*arguments: object) -> bool:
        compiled.append(can_fuse(*arguments))  # type: ignore[arg-type]
        return compiled[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rnnzoo.encoders.dwsnet, "can_fuse_layers", watched)
        # The precisions disagree on what is positive where one of many sums is nearly 0, so a gradient may be off for
        # some weights in this precision. A mistake would show for all.
        for draw in range(DRAWS):
            generator = torch.Generator().manual_seed(DRAWS * models + draw)
            weights = torch.randn(models, network.parameter_count, generator=generator)
            encoder = encoder_of(network, channels, layers)
            found = results(encoder, weights)
            exact = results(encoder.double(), weights.double())
            assert compiled[-2:] == [True, False]
            assert torch.allclose(found[0].double(), exact[0], atol=1e-5)
            error = max(map(relative_error, found, exact))
            if error < 2e-5:
                break
    assert error < 2e-5


def relative_error(value: Tensor, exact: Tensor) -> float:
    return float(torch.linalg.vector_norm(value - exact) / torch.linalg.vector_norm(exact).clamp_min(1e-9))


def test_results_do_not_depend_on_threads() -> None:
    network = Network(6, 32, 2, 6)
    weights = torch.randn(3 * PART + 1, network.parameter_count, generator=torch.Generator().manual_seed(1))
    encoder = encoder_of(network, 48, 3)
    found = with_one_and_three_threads(lambda: results(encoder, weights))
    # What PyTorch itself adds up, the networks' own share of each layer, may differ in the last digit.
    assert all(torch.allclose(one, three, rtol=1e-5, atol=1e-6) for one, three in zip(*found, strict=True))
    assert torch.equal(found[0][0], found[1][0])
