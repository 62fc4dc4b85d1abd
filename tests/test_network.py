from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnzoo.errors import UsageError
from rnnzoo.networks.lstm import LSTMNetwork, permute_hidden_units, run
from rnnzoo.networks.network import Network

sizes = st.builds(Network, *(st.integers(1, 7) for _ in range(2)), st.integers(1, 3), st.integers(1, 7))


def random_weights(network: Network, models: int, seed: int = 0) -> np.ndarray:
    scale = network.hidden_size**-0.5
    return np.random.default_rng(seed).uniform(-scale, scale, (models, network.parameter_count)).astype(np.float32)


@pytest.mark.parametrize(("inputs", "outputs", "count"), [(6, 6, 13_766), (16, 10, 15_178)])
def test_parameter_counts_of_the_paper(inputs: int, outputs: int, count: int) -> None:
    assert Network(inputs, 32, 2, outputs).parameter_count == count


@given(sizes)
def test_flat_layout_is_pytorchs_parameter_order(network: Network) -> None:
    module = LSTMNetwork(network)
    expected = [(name.removeprefix("lstm."), tuple(p.shape)) for name, p in module.named_parameters()]
    assert [(p.name, p.shape) for p in network.parameters()] == expected
    flat = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    assert np.array_equal(module.flat_weights(), flat)
    assert np.array_equal(LSTMNetwork.from_weights(network, flat).flat_weights(), flat)


@given(sizes)
def test_flatten_inverts_unflatten(network: Network) -> None:
    weights = random_weights(network, 3)
    assert np.array_equal(network.flatten(network.unflatten(weights)), weights)


@settings(deadline=None, max_examples=25)
@given(sizes, st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_many_networks_at_once_equal_single_modules(
    network: Network, models: int, positions: int, shared: bool
) -> None:
    weights = torch.from_numpy(random_weights(network, models)).double()
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(1 if shared else models, 3, positions, network.input_size, generator=generator).double()
    together = run(network, weights, inputs)
    for model in range(models):
        module = LSTMNetwork.from_weights(network, weights[model].numpy()).double()
        alone = module(inputs[0 if shared else model])
        # from_weights keeps float32 parameters, which double() then widens.
        torch.testing.assert_close(together[model], alone, atol=1e-6, rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(sizes, st.integers(0, 2**31))
def test_renumbering_hidden_units_changes_weights_but_not_outputs(network: Network, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = random_weights(network, 2, seed)
    orders = [generator.permutation(network.hidden_size) for _ in range(network.layers)]
    permuted = permute_hidden_units(network, weights, orders)
    inputs = torch.from_numpy(generator.standard_normal((1, 2, 4, network.input_size)))
    before = run(network, torch.from_numpy(weights).double(), inputs)
    after = run(network, torch.from_numpy(permuted).double(), inputs)
    torch.testing.assert_close(before, after, atol=1e-12, rtol=1e-12)
    if any((np.diff(order) < 0).any() for order in orders):
        assert not np.array_equal(weights, permuted)


def test_permuting_one_tensor_alone_changes_outputs() -> None:
    network = Network(3, 8, 2, 4)
    weights = random_weights(network, 1)
    broken = weights.copy()
    network.unflatten(broken)["weight_hh_l0"][:] = network.unflatten(weights)["weight_hh_l0"][..., ::-1]
    inputs = torch.randn(1, 2, 6, 3, generator=torch.Generator().manual_seed(0))
    before, after = (run(network, torch.from_numpy(w), inputs) for w in (weights, broken))
    assert (before - after).abs().max() > 1e-4


def test_tokens_equal_their_one_hot_vectors() -> None:
    network = Network(6, 8, 1, 6)
    module = LSTMNetwork.from_weights(network, random_weights(network, 1)[0])
    tokens = torch.tensor([[4, 0, 1, 5]])
    assert torch.allclose(module(tokens), module(torch.nn.functional.one_hot(tokens, 6).float()), atol=1e-6)


@pytest.mark.parametrize("field", ["input_size", "hidden_size", "layers", "output_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True])
def test_impossible_sizes_are_named(field: str, value: object) -> None:
    sizes = {"input_size": 2, "hidden_size": 2, "layers": 1, "output_size": 2} | {field: value}
    with pytest.raises(UsageError, match=field):
        Network(**sizes)  # type: ignore[arg-type]


def test_wrong_lengths_are_named() -> None:
    network = Network(6)
    with pytest.raises(UsageError, match="13 values"):
        network.unflatten(np.zeros(13, np.float32))
    with pytest.raises(UsageError, match="5 values per position"):
        run(network, torch.zeros(1, network.parameter_count), torch.zeros(1, 1, 1, 5))
