"""All equivariant layers in one compiled pass against one layer after the other in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import with_one_and_three_threads
from torch import Tensor

import rnnzoo.encoders.dwsnet
from rnnzoo.compiled.edge_jobs import PART
from rnnzoo.compiled.fused_layers import can_fuse_layers, fused_layers
from rnnzoo.encoders.dwsnet import DWSNetEncoder, EquivariantLayer
from rnnzoo.encoders.parts.connections import Passed
from rnnzoo.encoders.parts.edges import stack_tensors
from rnnzoo.encoders.protocol import Context, InputSpace, Rows
from rnnzoo.networks.network import Network

LIFT = 1024.0
MARGIN = 1e-4
"""Far more than rounding in float32 moves a sum of a few hundred numbers near 1."""
TOLERANCE = 1e-4
"""Of a gradient's norm: float32 rounds by 6e-8, some 1e4 terms add up to 100 times that, and some of them cancel."""


def encoder_of(network: Network, channels: int, layers: int) -> DWSNetEncoder:
    torch.manual_seed(channels + layers)
    return DWSNetEncoder(Context(network, InputSpace("tokens", network.input_size), 4), channels, layers, 16)


def random_weights(network: Network, models: int) -> Tensor:
    return torch.randn(models, network.parameter_count, generator=torch.Generator().manual_seed(models))


def entering(encoder: DWSNetEncoder, weights: Tensor) -> Passed:
    """What enters the first layer."""
    return encoder.last.connections.pool(stack_tensors(encoder.symmetry, weights))


def before_relu(layer: EquivariantLayer, passed: Passed) -> list[Tensor]:
    """What a layer's ReLU is given, of every stack [numbers, channels]: a bias lifts all of it above 0."""
    connections = layer.connections
    layer.network.bias += LIFT
    lifted = layer(passed)
    layer.network.bias -= LIFT
    found = []
    for axes in connections.stacks:
        if len(axes) == 2:
            values = lifted.edges[axes]
        else:
            pools = connections.pools[axes[0]]
            values = lifted.pools[axes[0]].chunk(len(pools), dim=-1)[pools.index((axes, 0))]
        found.append(values.flatten(0, -2) - LIFT)
    return found


def middle_of_the_widest_gap(values: Tensor) -> Tensor:
    """Of each channel of [numbers, channels]; rather among the middle half, so that many numbers lie on either side."""
    ordered = values.sort(0).values
    ordered = torch.cat([ordered[:1] - 1, ordered, ordered[-1:] + 1])
    gaps, count = ordered.diff(dim=0), len(values)
    outer = torch.arange(count + 1).sub(count / 2).abs() > count / 4
    widest = torch.where(outer[:, None], 0.01 * gaps, gaps).argmax(0, keepdim=True)
    return (ordered.gather(0, widest) + ordered.gather(0, widest + 1))[0] / 2


@torch.no_grad()
def keep_off_the_kinks(encoder: DWSNetEncoder, weights: Tensor) -> None:
    """Choose the biases such that no ReLU is given a number near 0, where rounding decides which gradient it has."""
    passed = entering(encoder.double(), weights.double())
    for layer in encoder.layers:
        layer.network.bias -= torch.cat([middle_of_the_widest_gap(values) for values in before_relu(layer, passed)])
        # As near to what the float32 encoder has as float64 can be.
        layer.network.bias.copy_(layer.network.bias.float())
        assert min(float(values.abs().min()) for values in before_relu(layer, passed)) > MARGIN
        passed = layer(passed)
    hidden = encoder.mlp[0]
    hidden.bias -= middle_of_the_widest_gap(hidden(encoder.last.pooled(passed.means)))
    encoder.float()


def results(encoder: DWSNetEncoder, weights: Tensor) -> list[Tensor]:
    """The embedding, and the gradient of a fixed function of it for every parameter."""
    answers = encoder(Rows(encoder.context.network, weights))
    loss = (answers * torch.arange(answers.numel(), dtype=answers.dtype).view_as(answers).cos()).sum()
    return [answers.detach(), *torch.autograd.grad(loss, list(encoder.parameters()))]


def relative_error(value: Tensor, exact: Tensor) -> float:
    return float(torch.linalg.vector_norm(value - exact) / torch.linalg.vector_norm(exact).clamp_min(1e-9))


@pytest.mark.slow
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

    encoder, weights = encoder_of(network, channels, layers), random_weights(network, models)
    keep_off_the_kinks(encoder, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rnnzoo.encoders.dwsnet, "can_fuse_layers", watched)
        found = results(encoder, weights)
        exact = results(encoder.double(), weights.double())
    assert compiled == [True, False]
    assert torch.allclose(found[0].double(), exact[0], atol=1e-5)
    assert max(map(relative_error, found, exact)) < TOLERANCE


@pytest.mark.slow
def test_the_compiled_layers_do_not_depend_on_threads() -> None:
    """What the kernels add up is the same in every bit; what PyTorch adds up around them only nearly."""
    network = Network(6, 32, 2, 6)
    encoder, weights = encoder_of(network, 48, 3), random_weights(network, 3 * PART + 1)
    keep_off_the_kinks(encoder, weights)
    passed, learned = entering(encoder, weights), [layer.learned() for layer in encoder.layers]
    one, three = with_one_and_three_threads(lambda: fused_layers(encoder.last.connections, learned, passed))
    assert torch.equal(one, three)
    found = with_one_and_three_threads(lambda: results(encoder, weights))
    exact = results(encoder.double(), weights.double())
    assert max(max(map(relative_error, values, exact)) for values in found) < TOLERANCE


@pytest.mark.slow
def test_what_cannot_be_compiled_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(3, 4, 1, 3)
    weights = random_weights(network, 2)

    def fits(channels: int, weights: Tensor, dtype: torch.dtype = torch.float32) -> bool:
        encoder = encoder_of(network, channels, 2).to(dtype)
        return can_fuse_layers([layer.learned() for layer in encoder.layers], entering(encoder, weights.to(dtype)))

    assert fits(16, weights)
    assert not fits(12, weights)
    assert not fits(16, weights, torch.float64)
    assert not fits(16, weights.requires_grad_())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not fits(16, weights.detach())
