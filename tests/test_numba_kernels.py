"""The parts the CPU engine is made of: random numbers, batches, nonlinearities, matrix products, AdamW."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from populations import tile_population, token_population

from rnnzoo.compiled.vector_kernels import activations, gemm
from rnnzoo.compiled.vector_kernels.gemm import multiply_accumulate
from rnnzoo.compiled.vector_kernels.vectors import LANES, address, load, store
from rnnzoo.generation.engines.numba_kernels.examples import draw_batch, example_arrays, gather_tiles, gather_tokens
from rnnzoo.generation.engines.numba_kernels.layout import aligned, new_scratch, pack, packed_size, sizes_of, unpack
from rnnzoo.generation.engines.numba_kernels.optimizer import adamw_update
from rnnzoo.generation.engines.numba_kernels.random_words import random_block
from rnnzoo.generation.randomness import Purpose, random_words
from rnnzoo.networks.network import Network


@njit
def apply(which, x, y):
    for i in range(0, x.size, LANES):
        value = load(x, i)
        tanh, sigmoid = activations.tanh_fraction(value), activations.sigmoid_fraction(value)
        if which == 0:
            value = activations.divide_two(tanh, sigmoid)[0]
        elif which == 1:
            value = activations.divide_two(tanh, sigmoid)[1]
        elif which in (2, 3):
            value = activations.divide_three(tanh, sigmoid, tanh)[which - 2]
        elif which == 4:
            value = activations.divide_three(sigmoid, sigmoid, tanh)[2]
        else:
            value = activations.exponential(value)
        store(y, i, value)


@njit
def product(c, a, b, rows, columns, depth, a_row, a_step, accumulate):
    multiply_accumulate(
        rows, columns, depth, address(c, 0), columns, address(a, 0), a_row, a_step, address(b, 0), columns, accumulate
    )


@pytest.mark.parametrize(
    ("which", "exact", "lowest", "highest", "absolute", "relative"),
    [
        (0, np.tanh, -100, 100, None, 5e-7),
        (1, lambda x: 1 / (1 + np.exp(-x)), -80, 100, 4e-7, None),
        (2, np.tanh, -100, 100, None, 5e-7),
        (3, lambda x: 1 / (1 + np.exp(-x)), -80, 100, 4e-7, None),
        (4, np.tanh, -100, 100, None, 5e-7),
        (5, np.exp, -87, 88, None, 2e-7),
    ],
    ids=["tanh of two", "sigmoid of two", "tanh of three", "sigmoid of three", "last of three", "exponential"],
)
def test_activations_keep_their_stated_errors(which, exact, lowest, highest, absolute, relative):
    even = np.linspace(lowest, highest, 1_600_000)
    tiny = np.geomspace(1e-30, min(-lowest, highest), 800_000)
    x = np.concatenate([even, tiny, -tiny]).astype(np.float32)
    y = np.empty_like(x)
    apply(which, x, y)
    truth = exact(x.astype(np.float64))
    error = np.abs(y - truth) if absolute else np.abs(y / truth - 1)
    assert error.max() < (absolute or relative)


@pytest.mark.parametrize("which", range(6))
def test_activations_keep_nan_and_take_infinities(which):
    x = np.zeros(16, dtype=np.float32)
    x[:3] = np.nan, np.inf, -np.inf
    y = np.empty_like(x)
    apply(which, x, y)
    assert np.isnan(y[0])
    assert not np.isnan(y[1:]).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 70), st.booleans(), st.booleans())
def test_matrix_product_matches_float64(rows, column_groups, depth, transposed, accumulate):
    columns = 16 * column_groups
    random = np.random.default_rng(rows)
    a, b, c = (random.standard_normal(s).astype(np.float32) for s in ((rows, depth), (depth, columns), (rows, columns)))
    expected = a.astype(np.float64) @ b + (c if accumulate else 0)
    stored = np.ascontiguousarray(a.T if transposed else a)
    strides = (1, rows) if transposed else (depth, 1)
    product(c.ravel(), stored.ravel(), b.ravel(), rows, columns, depth, *strides, accumulate)
    bound = 1e-6 * (np.abs(a) @ np.abs(b) + 1 + np.abs(c))
    assert (np.abs(c - expected) <= bound).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 30), st.integers(1, 70))
def test_a_row_of_a_product_does_not_depend_on_the_other_rows(rows, depth):
    random = np.random.default_rng(depth)
    a, b = (random.standard_normal(s).astype(np.float32) for s in ((rows, depth), (depth, 112)))
    together, alone = np.zeros((rows, 112), dtype=np.float32), np.zeros((1, 112), dtype=np.float32)
    product(together.ravel(), a.ravel(), b.ravel(), rows, 112, depth, depth, 1, False)
    product(alone.ravel(), a[-1].copy(), b.ravel(), 1, 112, depth, depth, 1, False)
    np.testing.assert_array_equal(together[-1], alone[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.sampled_from(Purpose), st.integers(0, 2**31))
def test_random_words_are_those_of_the_numpy_generator(seed, model_id, purpose, step):
    words = np.zeros(4, dtype=np.uint32)
    expected = random_words(seed, model_id, purpose, step, 12)
    for block in range(3):
        random_block(*(np.uint64(v) for v in (seed, model_id, purpose, step, block)), words)
        np.testing.assert_array_equal(words, expected[4 * block : 4 * block + 4])


@pytest.mark.parametrize("batch_size", [1, 6, 32])
def test_token_batches_are_the_populations_own_weighted(batch_size):
    population = token_population(batch_size=batch_size)
    arrays = example_arrays(population)
    scratch = new_scratch(sizes_of(population.network, 8, 16), batch_size)
    for model in range(3):
        for step in (0, 5):
            keys = np.uint64(population.seed), np.uint64(population.model_ids[model])
            rows, wanted = draw_batch(arrays, scratch, *keys, model, step, batch_size)
            assert wanted == 8 * batch_size
            drawn = population.examples.draw(step, batch_size)[model]
            numbers, counts = np.unique(drawn, return_counts=True)
            np.testing.assert_array_equal(scratch.row_example[:rows], numbers)
            np.testing.assert_array_equal(scratch.row_weight[:rows], counts)
            gather_tokens(arrays, scratch, model, 0, rows)
            inputs, targets = population.examples.inputs[model, numbers], population.examples.targets[model, numbers]
            np.testing.assert_array_equal(scratch.tokens[: 8 * rows].reshape(8, rows).T, inputs)
            np.testing.assert_array_equal(scratch.targets[: 8 * rows].reshape(8, rows).T, targets)


def test_tile_batches_are_the_populations_own():
    population = tile_population(batch_size=13)
    arrays = example_arrays(population)
    scratch = new_scratch(sizes_of(population.network, 7, 13), 13)
    for model in range(3):
        keys = np.uint64(population.seed), np.uint64(population.model_ids[model])
        assert draw_batch(arrays, scratch, *keys, model, 4, 13) == (13, 13 * 7)
        gather_tiles(arrays, scratch, model, 0, 13)
        inputs, targets = population.examples.batch(model, 4, 13)
        np.testing.assert_array_equal(scratch.inputs.reshape(7, 13, 5).transpose(1, 0, 2), inputs)
        np.testing.assert_array_equal(scratch.targets.reshape(7, 13).T, targets)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 3), st.integers(1, 20))
def test_packing_loses_nothing(inputs, hidden_size, layers, outputs):
    network = Network(inputs, hidden_size, layers, outputs)
    weights = np.random.default_rng(0).standard_normal((2, network.parameter_count)).astype(np.float32)
    packed = pack(network, weights)
    assert packed.shape[1] == packed_size(sizes_of(network, 1, 1))
    assert packed.ctypes.data % 64 == packed.strides[0] % 64 == 0
    np.testing.assert_array_equal(unpack(network, packed), weights)
    assert np.count_nonzero(packed) == np.count_nonzero(weights)


def test_optimizer_follows_torch_adamw():
    random = np.random.default_rng(0)
    weights, first, second, gradient = (aligned(160) for _ in range(4))
    weights[:] = random.standard_normal(160)
    parameter = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    optimizer = torch.optim.AdamW([parameter], lr=0.01, weight_decay=0.1)
    for step in range(50):
        gradient[:] = random.standard_normal(160) * 10.0 ** random.integers(-6, 2)
        rate = 0.01 / (1 + step)
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        adamw_update(weights, first, second, gradient, step, rate, 0.1, 0.9, 0.999, 1e-8)
        np.testing.assert_allclose(weights, parameter.detach().numpy(), rtol=2e-6, atol=1e-7)


def test_functions_that_a_factory_makes_have_names_of_their_own() -> None:
    """Or kernels that were compiled by different processes would take one for the other where both are loaded."""
    panels = [one for name, one in vars(gemm).items() if "panel_of" in name or "wide_panel" in name]
    names = [panel.py_func.__qualname__ for panel in panels if panel is not None]
    assert len(names) >= 2
    assert len(set(names)) == len(names)
