"""Which probes and which combinations of answers rollout probing starts from."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnzoo.encoders import Context, InputSpace, Rows, build_encoder
from rnnzoo.encoders.parts.telling_probes import most_telling, principal_components
from rnnzoo.encoders.rollout_probing import RolloutProbingEncoder
from rnnzoo.networks.network import Network

NETWORK = Network(4, 6, 1, 4)
SPACE = InputSpace("tokens", 4)


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def context_of(examples: int, networks: int = 40) -> Context:
    inputs = torch.nn.functional.one_hot(torch.arange(examples * 5).view(examples, 5) * 7 % 11 % 4, 4).float()
    weights = numbers(networks, NETWORK.parameter_count)
    return Context(NETWORK, SPACE, probe_length=5, example_inputs=inputs, example_weights=weights)


def rows_of(context: Context) -> Rows:
    assert context.example_weights is not None
    return Rows(NETWORK, context.example_weights)


def tokens(inputs: Tensor | None) -> set[tuple[int, ...]]:
    """The sequences of likeliest tokens."""
    assert inputs is not None
    return {tuple(sequence.argmax(-1).tolist()) for sequence in inputs}


def test_a_probe_is_chosen_for_what_those_before_it_do_not_tell() -> None:
    told, other = numbers(30, 3, 2), 0.5 * numbers(31, 3, 2)[1:]
    nothing = torch.ones(30, 3, 2)
    answers = torch.stack([nothing, other, told, 0.9 * told], dim=1)
    assert most_telling(answers, 3)[:2] == [2, 1]
    assert sorted(most_telling(answers, 4)) == [0, 1, 2, 3]


@settings(max_examples=25, deadline=None)
@given(networks=st.integers(2, 30), width=st.integers(1, 12), count=st.integers(1, 16), ways=st.integers(1, 12))
def test_components_are_uncorrelated_and_of_unit_variance(networks: int, width: int, count: int, ways: int) -> None:
    answers = (numbers(networks, ways) @ numbers(ways, width)).double()
    mean, weight = principal_components(answers, count)
    assert weight.shape == (count, width)
    values = (answers - mean) @ weight.t()
    found = min(count, width, ways, networks - 1)
    covariance = values.t() @ values / networks
    assert torch.allclose(covariance, torch.diag(torch.arange(count) < found).double(), atol=1e-6)


def test_rollout_probing_starts_from_some_of_the_rollouts_and_tells_networks_apart() -> None:
    context = context_of(examples=9)
    torch.manual_seed(0)
    encoder = build_encoder("rollout-probing", context, probes=4)
    probes = encoder.probing_inputs(rows_of(context))
    assert probes is not None
    assert tokens(probes[0]) <= tokens(context.example_inputs)
    assert probes.max(-1).values.min() > 0.99
    # A linear layer of default size on raw probabilities begins with a tenth of that.
    assert encoder(rows_of(context)).std(0).mean() > 0.1


def test_choice_and_components_can_be_left_out() -> None:
    context = context_of(examples=9)
    torch.manual_seed(0)
    plain = build_encoder("rollout-probing", context, probes=4, choose=False, components=0)
    assert isinstance(plain, RolloutProbingEncoder)
    assert context.example_inputs is not None
    assert tokens(plain.free_inputs) == tokens(context.example_inputs[:4])
    assert not plain.mean.any()
    assert plain.state_dict()["mlp.0.weight"].abs().max() <= (4 * 5 * 4) ** -0.5


@pytest.mark.parametrize("examples", [2, 9])
def test_more_probes_than_rollouts_start_at_random(examples: int) -> None:
    encoder = build_encoder("rollout-probing", context_of(examples), probes=6)
    assert isinstance(encoder, RolloutProbingEncoder)
    assert encoder.free_inputs.shape == (6, 5, 4)


def test_without_known_networks_it_has_the_same_shapes() -> None:
    known, unknown = (
        build_encoder("rollout-probing", context) for context in (context_of(9), Context(NETWORK, SPACE, 5))
    )
    unknown.load_state_dict(known.state_dict())
    rows = Rows(NETWORK, numbers(3, NETWORK.parameter_count))
    assert torch.allclose(known(rows), unknown(rows), atol=1e-6)
