"""Linear maps by oneDNN against the plain ones in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import with_one_and_three_threads
from torch import Tensor

from rnnzoo.products import LEAST_ROWS, has_onednn, linear, map_rows, outer_products, sums_of_outer_products


def assert_only_rounded(value: Tensor, exact: Tensor, terms: int, magnitudes: Tensor) -> None:
    """A sum in float32, in whatever order, is off by half a unit in the last place of what it holds at every step.

    Args:
        value, exact: in float32 and in float64.
        terms: of each sum.
        magnitudes: the sums of the terms' absolute values.
    """
    assert value.shape == exact.shape
    assert ((value.double() - exact).abs() <= (terms + 1) * 2.0**-24 * magnitudes).all()


@settings(max_examples=40, deadline=None)
@given(
    lead=st.one_of(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.just([3, LEAST_ROWS // 2])),
    width=st.integers(1, 40),
    outputs=st.integers(1, 40),
    with_bias=st.booleans(),
    inputs_learn=st.booleans(),
)
def test_a_linear_map_and_its_gradients_are_the_plain_ones(
    lead: list[int], width: int, outputs: int, with_bias: bool, inputs_learn: bool
) -> None:
    generator = torch.Generator().manual_seed(width + 41 * outputs)
    shapes = [(*lead, width), (outputs, width)] + [(outputs,)] * with_bias
    factors = [torch.randn(*shape, generator=generator) for shape in shapes]
    direction = torch.randn(*lead, outputs, generator=generator)

    def answers_and_gradients(factors: list[Tensor], direction: Tensor) -> list[Tensor]:
        given = [factor.clone().requires_grad_(inputs_learn or place > 0) for place, factor in enumerate(factors)]
        assert has_onednn(*given) == (direction.dtype == torch.float32)
        answers = linear(*given)
        wanted = [one for one in given if one.requires_grad]
        return [answers.detach(), *torch.autograd.grad(answers, wanted, direction)]

    found = answers_and_gradients(factors, direction)
    exact = answers_and_gradients([factor.double() for factor in factors], direction.double())
    # Of absolute values, the same sums are those of the terms' sizes.
    magnitudes = answers_and_gradients([factor.double().abs() for factor in factors], direction.double().abs())
    terms = max(direction[..., 0].numel(), width + 1, outputs)
    for value, expected, magnitude in zip(found, exact, magnitudes, strict=True):
        assert_only_rounded(value, expected, terms, magnitude)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_relu_may_follow_at_once(dtype: torch.dtype) -> None:
    inputs, weight, bias = torch.randn(7, 5, dtype=dtype), torch.randn(3, 5, dtype=dtype), torch.randn(3, dtype=dtype)
    expected = (inputs @ weight.t() + bias).relu()
    assert torch.allclose(map_rows(inputs, weight, bias, relu=True), expected, atol=1e-5)


def assert_products(value: Tensor, left: Tensor, right: Tensor) -> None:
    """The value is the sum of the outer products of the factors' rows."""
    left, right = left.double(), right.double()
    assert_only_rounded(value, left.t() @ right, len(left), left.abs().t() @ right.abs())


@settings(max_examples=30, deadline=None)
@given(
    count=st.one_of(st.integers(1, 9), st.sampled_from([63, 64, 65, 200])),
    width=st.integers(1, 40),
    columns=st.sampled_from([1, 16, 48, 80, 96]),
)
def test_sums_of_outer_products_are_the_plain_ones(count: int, width: int, columns: int) -> None:
    left, right = torch.randn(count, width), torch.randn(count, columns)
    assert_products(outer_products(left, right), left, right)
    assert torch.allclose(outer_products(left.double(), right.double()), left.double().t() @ right.double())


@pytest.mark.parametrize("largest", [40, 400])
def test_many_sums_of_outer_products_are_each_their_own(largest: int) -> None:
    sizes = [(5, 3, 16), (largest, 120, 48), (1, 7, 7), (70, 96, 28), (0, 4, 16)]
    pairs = [(torch.randn(count, width), torch.randn(count, columns)) for count, width, columns in sizes]
    pairs.append((torch.randn(4, 16, dtype=torch.float64), torch.randn(4, 16, dtype=torch.float64)))
    for (left, right), found in zip(pairs, sums_of_outer_products([[pair] for pair in pairs]), strict=True):
        assert_products(found, left, right)
    assert sums_of_outer_products([]) == []


@pytest.mark.parametrize("columns", [16, 7, 33])
def test_a_sum_goes_over_all_blocks(columns: int) -> None:
    blocks = [(torch.randn(count, 32), torch.randn(count, columns)) for count in (1, 70, 64)]
    (found,) = sums_of_outer_products([blocks])
    assert_products(found, *map(torch.cat, zip(*blocks, strict=True)))


def test_sums_of_outer_products_do_not_depend_on_threads() -> None:
    left, right = torch.randn(300, 130), torch.randn(300, 64)
    assert torch.equal(*with_one_and_three_threads(lambda: outer_products(left, right)))


def test_transposed_and_strided_operands_are_taken_as_they_are() -> None:
    inputs, weight = torch.randn(40, 14)[::2, :7], torch.randn(7, 9).t()
    assert torch.allclose(map_rows(inputs, weight), inputs @ weight.t(), atol=1e-5)
