"""The compiled pass over all connections against the plain one in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import with_one_and_three_threads
from torch import Tensor

import rnnzoo.threads
from rnnzoo.encoders.connections import Connections, Passed
from rnnzoo.encoders.fused_edges import can_fuse
from rnnzoo.symmetry import Axes
from rnnzoo.threads import in_parts, split

STACKS: tuple[Axes, ...] = (("b", "a"), ("b", "b"), ("b",), ("a", "b"), ("a",))

Inputs = dict[str, dict]


def connections(diagonals: bool) -> Connections:
    return Connections(("a", "b"), STACKS, diagonals)


def random_inputs(
    over: Connections, models: int, sizes: dict[str, int], channels_in: int, channels: int, with_shared: bool
) -> Inputs:
    generator = torch.Generator().manual_seed(models + 7 * channels_in)

    def numbers(*shape: int) -> Tensor:
        # Sums of products of eighths are exact, so that both precisions agree on what is positive.
        return torch.randint(-8, 9, shape, generator=generator) / 8

    return {
        "edges": {axes: numbers(models, *(sizes[g] for g in axes), channels_in) for axes in over.matrices},
        "weights": {axes: numbers(channels_in, channels) for axes in over.matrices},
        "terms": {g: numbers(models, size, len(over.terms[g]) * channels) for g, size in sizes.items()},
        "shared": {"all": numbers(models, len(STACKS) * channels)} if with_shared else {},
    }


def leaves(inputs: Inputs, with_edges: bool, dtype: torch.dtype) -> tuple[Inputs, list[Tensor]]:
    """The inputs in a precision, and those of them that get a gradient."""
    copies = {
        name: {
            key: value.to(dtype, copy=True).requires_grad_(name != "edges" or with_edges) for key, value in part.items()
        }
        for name, part in inputs.items()
    }
    return copies, [value for part in copies.values() for value in part.values() if value.requires_grad]


def run(over: Connections, inputs: Inputs, keep: bool = True) -> Passed:
    return over.update(inputs["edges"], inputs["weights"], inputs["terms"], inputs["shared"].get("all"), keep)


def outputs(passed: Passed) -> list[Tensor]:
    return [*passed.edges.values(), *passed.pools.values(), passed.means]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    models=st.integers(1, 5),
    size_a=st.integers(1, 9),
    size_b=st.integers(1, 9),
    channels_in=st.one_of(st.integers(1, 50), st.sampled_from([16, 32, 48])),
    channels=st.sampled_from([16, 32, 48, 64, 80]),
    diagonals=st.booleans(),
    with_shared=st.booleans(),
    keep=st.booleans(),
    seen=st.sampled_from(["all", "edges", "pools", "means"]),
)
def test_compiled_passes_and_gradients_are_the_plain_ones(
    models: int,
    size_a: int,
    size_b: int,
    channels_in: int,
    channels: int,
    diagonals: bool,
    with_shared: bool,
    keep: bool,
    seen: str,
) -> None:
    over, keep = connections(diagonals), keep or seen == "edges"
    inputs = random_inputs(over, models, {"a": size_a, "b": size_b}, channels_in, channels, with_shared)
    with_edges = channels_in % 16 == 0
    ours, wanted = leaves(inputs, with_edges, torch.float32)
    assert can_fuse(ours["edges"].values(), ours["weights"].values())
    exact, exact_wanted = leaves(inputs, with_edges, torch.float64)
    assert not can_fuse(exact["edges"].values(), exact["weights"].values())
    found, expected = run(over, ours, keep), run(over, exact)
    assert bool(found.edges) == keep
    if not keep:
        expected = Passed({}, expected.pools, expected.means)
    for value, exact_value in zip(outputs(found), outputs(expected), strict=True):
        assert value.shape == exact_value.shape
        assert torch.allclose(value.double(), exact_value, atol=1e-5, rtol=1e-5)
    chosen = [outputs(p) for p in (found, expected)]
    if seen != "all":
        edges, pools = len(found.edges), len(found.pools)
        which = {"edges": slice(edges), "pools": slice(edges, edges + pools), "means": slice(edges + pools, None)}[seen]
        chosen = [values[which] for values in chosen]
    directions = [torch.randn_like(value) for value in chosen[0]]
    losses = [sum((v * d).sum() for v, d in zip(values, directions, strict=True)) for values in chosen]
    gradients = torch.autograd.grad(losses[0], wanted)
    exact_gradients = torch.autograd.grad(losses[1], exact_wanted, materialize_grads=True)
    for gradient, exact_gradient in zip(gradients, exact_gradients, strict=True):
        error = torch.linalg.vector_norm(gradient - exact_gradient)
        assert error <= 1e-5 * torch.linalg.vector_norm(exact_gradient) + 1e-9


@pytest.mark.slow
def test_a_compiled_pass_does_not_depend_on_threads() -> None:
    over = connections(diagonals=True)
    inputs = random_inputs(over, 33, {"a": 24, "b": 32}, 16, 48, with_shared=True)
    for part in inputs.values():
        # Sums of eighths would be exact, and so the same, in any order.
        part.update({key: torch.randn_like(value) for key, value in part.items()})

    def work() -> tuple[list[Tensor], list[Tensor]]:
        ours, wanted = leaves(inputs, True, torch.float32)
        values = outputs(run(over, ours))
        gradients = torch.autograd.grad(values, wanted, [2 * value.detach() for value in values])
        of_weights = {id(weight) for weight in ours["weights"].values()}
        compiled = [g for g, leaf in zip(gradients, wanted, strict=True) if id(leaf) not in of_weights]
        return values + compiled, [g for g, leaf in zip(gradients, wanted, strict=True) if id(leaf) in of_weights]

    (one, weights_of_one), (three, weights_of_three) = with_one_and_three_threads(work)
    assert all(map(torch.equal, one, three))
    # Sums over the parts of the networks are PyTorch's.
    for mine, other in zip(weights_of_one, weights_of_three, strict=True):
        assert torch.linalg.vector_norm(mine - other) <= 1e-5 * torch.linalg.vector_norm(other)


def test_what_cannot_be_compiled_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    edges, weights = [torch.zeros(2, 3, 3, 4)], [torch.zeros(4, 16)]
    assert can_fuse(edges, weights)
    assert not can_fuse([torch.zeros(2, 3, 3, 4, requires_grad=True)], weights)
    assert not can_fuse(edges, [torch.zeros(4, 12)])
    assert not can_fuse([edges[0].double()], [weights[0].double()])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not can_fuse(edges, weights)


@pytest.mark.parametrize("own", [True, False], ids=["PyTorch's threads", "other threads"])
def test_parts_are_all_done_and_errors_come_out(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not own:
        monkeypatch.setattr(rnnzoo.threads, "_run_parallel", lambda: None)
    done: list[tuple[int, int]] = []
    in_parts(split(10, 4), lambda first, last: done.append((first, last)))
    assert sorted(done) == [(0, 2), (2, 5), (5, 7), (7, 10)]

    def fail(first: int, last: int) -> None:
        raise KeyError(first)

    with pytest.raises(KeyError):
        in_parts(split(10, 2), fail)
