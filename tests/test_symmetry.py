"""The declared symmetry of the networks, and the encoders that promise to respect it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnzoo.encoders import Context, InputSpace, Rows, build_encoder, encode
from rnnzoo.networks.lstm import permute_hidden_units, run
from rnnzoo.networks.network import Network
from rnnzoo.networks.symmetry import symmetry_of

INVARIANT = ("statistics", "dwsnet", "graph", "non-interactive", "interactive", "probe-generator", "rollout-probing")
SIZES = {
    "dwsnet": {"channels": 6},
    "graph": {"channels": 6},
    "non-interactive": {"probes": 2, "core_size": 12},
    "interactive": {"probes": 2, "core_size": 12},
    "rollout-probing": {"probes": 3, "hidden_size": 12},
}

networks = st.builds(
    Network, st.integers(1, 5), hidden_size=st.integers(2, 6), layers=st.integers(1, 3), output_size=st.integers(1, 4)
)


def random_weights(network: Network, models: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(models, network.parameter_count, generator=generator, dtype=torch.float64) * 0.4


@settings(max_examples=25, deadline=None)
@given(networks, st.integers(0, 2**31))
def test_renumbering_every_layer_leaves_the_function_as_it_is(network: Network, seed: int) -> None:
    symmetry = symmetry_of(network)
    weights = random_weights(network, 3, seed)
    permuted = symmetry.permute(weights, symmetry.random_permutations(3, np.random.default_rng(seed)))
    inputs = torch.randn(1, 2, 4, network.input_size, dtype=torch.float64)
    assert torch.allclose(run(network, weights, inputs), run(network, permuted, inputs), atol=1e-12)


def test_each_model_is_renumbered_in_its_own_way() -> None:
    network = Network(3, 8, 2, 4)
    symmetry = symmetry_of(network)
    orders = symmetry.random_permutations(5, np.random.default_rng(0))
    assert set(orders) == {"hidden_l0", "hidden_l1"}
    assert len(np.unique(orders["hidden_l0"].numpy(), axis=0)) == 5
    weights = random_weights(network, 5)
    together = symmetry.permute(weights, orders)
    for model in range(5):
        alone = permute_hidden_units(network, weights[model].numpy(), [o[model].numpy() for o in orders.values()])
        assert np.array_equal(together[model].numpy(), alone)


def test_the_split_shows_gates_and_groups() -> None:
    network = Network(3, 8, 2, 5)
    symmetry = symmetry_of(network)
    split = symmetry.split(random_weights(network, 2))
    assert split["weight_ih_l1"].shape == (2, 4, 8, 8)
    assert split["weight_ih_l0"].shape == (2, 4, 8, 3)
    assert split["linear.weight"].shape == (2, 1, 5, 8)
    axes = {tensor.name: tensor.axes for tensor in symmetry.tensors}
    assert axes["weight_ih_l1"] == ("hidden_l1", "hidden_l0")
    assert axes["linear.weight"] == ("output", "hidden_l1")


@pytest.mark.parametrize("name", INVARIANT)
@pytest.mark.parametrize("layers", [1, 2])
def test_encoders_are_invariant_under_renumbering_and_under_nothing_else(name: str, layers: int) -> None:
    network = Network(6, 8, layers, 6)
    symmetry = symmetry_of(network)
    torch.manual_seed(0)
    context = Context(network, InputSpace("tokens", 6), probe_length=7)
    encoder = build_encoder(name, context, **SIZES.get(name, {})).double()
    weights = random_weights(network, 4)
    orders = symmetry.random_permutations(4, np.random.default_rng(1))
    with torch.no_grad():
        z = encode(encoder, Rows(network, weights), 16)
        same = encode(encoder, Rows(network, symmetry.permute(weights, orders)), 16)
        assert (z - same).abs().max() < 1e-5
        moved = weights.clone()
        offset = 0
        for parameter, tensor in zip(network.parameters(), symmetry.tensors, strict=True):
            if parameter.name == "weight_hh_l0":
                block = symmetry.split(weights)[tensor.name]
                # Statistics cannot see the order of values, only their size.
                block = block * 1.5 if name == "statistics" else block[:, :, orders["hidden_l0"][0]]
                moved[:, offset : parameter.stop] = block.reshape(4, -1)
            offset = parameter.stop
        assert (z - encode(encoder, Rows(network, moved), 16)).abs().max() > 1e-5


def test_the_pooled_last_layer_is_the_mean_of_the_whole_layer() -> None:
    from rnnzoo.encoders.dwsnet import PooledLayer
    from rnnzoo.encoders.parts.edges import stack_channels, stack_tensors

    symmetry = symmetry_of(Network(3, 5, 2, 4))
    layer = PooledLayer(symmetry, stack_channels(symmetry), 6).double()
    stacks = stack_tensors(symmetry, random_weights(symmetry.network, 2))
    passed = layer.connections.pool(stacks)
    terms = layer.connections.split_terms(layer._terms(passed.pools, layer.embedding()), layer.network(passed.means))
    means = []
    for axes, values in stacks.items():
        if len(axes) == 1:
            means.append(terms[axes, 0].mean(1))
        else:
            own = values @ layer.own["_from_".join(axes)]
            means.append((own + terms[axes, 0][:, :, None] + terms[axes, 1][:, None]).mean((1, 2)))
    assert torch.allclose(torch.cat(means, dim=1), layer.pooled(passed.means), atol=1e-12)


@pytest.mark.parametrize(("channels", "dtype", "tolerance"), [(6, torch.float64, 1e-12), (16, torch.float32, 1e-5)])
def test_the_equivariant_layer_commutes_with_renumbering(channels: int, dtype: torch.dtype, tolerance: float) -> None:
    from rnnzoo.encoders.dwsnet import PooledLayer
    from rnnzoo.encoders.parts.edges import stack_channels, stack_tensors

    symmetry = symmetry_of(Network(3, 5, 2, 4))
    layer = PooledLayer(symmetry, stack_channels(symmetry), channels).to(dtype)
    weights = random_weights(symmetry.network, 2).to(dtype)
    orders = symmetry.random_permutations(2, np.random.default_rng(0))

    def output(flat: torch.Tensor) -> dict[tuple[str, ...], torch.Tensor]:
        edges, pools, _ = layer(layer.connections.pool(stack_tensors(symmetry, flat)))
        return edges | {(group,): values for group, values in pools.items()}

    before, after = output(weights), output(symmetry.permute(weights, orders))
    for axes, values in before.items():
        for model in range(2):
            expected = values[model]
            for dim, axis in enumerate(axes):
                if axis in orders:
                    expected = expected.index_select(dim, orders[axis][model])
            assert torch.allclose(after[axes][model], expected, atol=tolerance)
