"""The parts that only the CPU engine's evaluation is made of: gates block by block, cell states, visible inputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from rnnzoo.compiled.vector_kernels.transposition import transpose_block
from rnnzoo.compiled.vector_kernels.vectors import LANES, address
from rnnzoo.generation.engines.numba_kernels.gate_blocks import (
    BLOCK_ROWS,
    Inputs,
    blocks_of,
    next_states,
    pre_activations,
)
from rnnzoo.generation.engines.numba_kernels.inference import normalise_rows
from rnnzoo.generation.engines.numba_kernels.layout import GROUP, aligned
from rnnzoo.generation.engines.numba_kernels.visible_tiles import (
    first_visible,
    list_visible,
    visible_at,
    visible_inputs,
)

UNITS = 32
WIDTH = 4 * UNITS
NUMBERS = st.integers(0, 2**32 - 1)


@njit
def all_pre_activations(rows, start, start_rows, inputs, which, counts, input_weights, hidden, recurrent_weights):
    """Pre-activations [units / LANES, rows, 4, LANES]; every block of rows has the same list of inputs."""
    gates = np.empty(rows * WIDTH, dtype=np.float32)
    depth = inputs.size // rows
    for unit in range(0, UNITS, LANES):
        column = unit // GROUP * 4 * GROUP + unit % GROUP
        values = Inputs(address(inputs, 0), BLOCK_ROWS * depth, depth, 1, address(which, 0), 0, address(counts, 0), 0)
        pre_activations(
            rows, address(gates, unit * 4 * rows), address(start, column), address(start_rows, 0), 1, values,
            address(input_weights, column), address(hidden, 0), UNITS, address(recurrent_weights, column),
        )  # fmt: skip
    return gates


@njit
def visible_of(images, numbers, sources, values, first):
    """What is visible in one block, and the `Inputs` of its last position."""
    positions, size = sources.shape
    visible = visible_inputs(1, positions + 1, size)
    list_visible(visible, 0, images, numbers, sources, values, first)
    return visible


@njit
def transposed(block, row):
    """`transpose_block` of an array whose rows are so far apart."""
    target = np.empty(LANES * LANES, dtype=np.float32)
    transpose_block(address(target, 0), address(block, 0), row)
    return target


def masses_and_tops(logits, outputs):
    """`normalise_rows` of logits [rows, width]."""
    rows, width = logits.shape
    room = -(-rows // LANES) * LANES
    padded = np.full((room, width), np.nan, dtype=np.float32)
    padded[:rows] = logits
    masses, tops = np.empty(room, dtype=np.float32), np.empty(room, dtype=np.float32)
    normalise_rows(padded.ravel(), rows, outputs, width, np.empty(width * LANES, dtype=np.float32), masses, tops)
    return masses[:rows], tops[:rows]


def by_gate(gates, rows):
    """The result of `all_pre_activations` as [rows, 4, units]."""
    return gates.reshape(UNITS // LANES, rows, 4, LANES).transpose(1, 2, 0, 3).reshape(rows, 4, UNITS)


def columns_by_gate(values):
    """Values [..., 4 units] in the layout of the kernels as [..., 4, units]."""
    lead = values.shape[:-1]
    return np.moveaxis(values.reshape(*lead, UNITS // GROUP, 4, GROUP), -2, -3).reshape(*lead, 4, UNITS)


def random_layer(rows, listed, seed):
    """Starts, inputs, which of 20 inputs they are, weights, outputs before."""
    random = np.random.default_rng(seed)

    def normal(*shape):
        return random.standard_normal(shape).astype(np.float32)

    which = np.sort(random.permutation(20)[:listed])
    return (
        normal(3, WIDTH),
        random.integers(0, 3, rows),
        normal(rows, listed),
        which,
        normal(20, WIDTH),
        normal(rows, UNITS),
        normal(UNITS, WIDTH),
    )


def run(starts, rows_start, inputs, which, input_weights, hidden, recurrent_weights):
    rows = len(hidden)
    padded = inputs if which.size else np.zeros((rows, 1), dtype=np.float32)
    numbers = which if which.size else np.zeros(1, dtype=np.int64)
    return by_gate(
        all_pre_activations(
            rows, starts.ravel(), WIDTH * rows_start, padded.ravel(), numbers, np.array([which.size]),
            input_weights.ravel(), hidden.ravel(), recurrent_weights.ravel(),
        ),
        rows,
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(0, 20), NUMBERS)
def test_pre_activations_match_float64(rows, listed, seed):
    layer = random_layer(rows, listed, seed)
    starts, rows_start, inputs, which, input_weights, hidden, recurrent_weights = (
        x.astype(np.float64) if x.dtype == np.float32 else x for x in layer
    )
    chosen = input_weights[which]
    exact = starts[rows_start] + inputs @ chosen + hidden @ recurrent_weights
    size = np.abs(starts[rows_start]) + np.abs(inputs) @ np.abs(chosen) + np.abs(hidden) @ np.abs(recurrent_weights)
    assert (np.abs(run(*layer) - columns_by_gate(exact)) <= 2e-6 * columns_by_gate(size)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 20), st.integers(0, 20), NUMBERS)
def test_pre_activations_of_a_row_do_not_depend_on_the_others_or_on_inputs_that_are_zero(rows, listed, seed):
    starts, rows_start, inputs, which, input_weights, hidden, recurrent_weights = random_layer(rows, listed, seed)
    inputs[-1, ::2] = 0
    together = run(starts, rows_start, inputs, which, input_weights, hidden, recurrent_weights)
    shown = inputs[-1] != 0
    alone = run(
        starts, rows_start[-1:], inputs[-1:, shown], which[shown], input_weights, hidden[-1:], recurrent_weights
    )
    np.testing.assert_array_equal(alone[0], together[-1])


def test_next_states_keep_their_stated_errors():
    rows = 100_000
    random = np.random.default_rng(0)
    gates, cell, hidden = aligned(rows * 4 * LANES), aligned(rows * LANES), aligned(rows * LANES)
    gates[:] = random.uniform(-1, 1, gates.size) * 10.0 ** random.uniform(-6, 2, gates.size)
    cell[:] = random.uniform(-1, 1, cell.size) * 10.0 ** random.uniform(-6, 2, cell.size)
    enter, forget, candidate, leave = gates.astype(np.float64).reshape(rows, 4, LANES).swapaxes(0, 1)
    before = cell.astype(np.float64).reshape(rows, LANES)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    exact = sigmoid(forget) * before + sigmoid(enter) * np.tanh(candidate)
    next_states(rows, LANES, gates, cell, 0, hidden, 0)
    state = cell.astype(np.float64).reshape(rows, LANES)
    assert (np.abs(state - exact) < 7e-7 * (1 + np.abs(before))).all()
    output = sigmoid(leave) * np.tanh(state)
    assert np.abs(hidden.reshape(rows, LANES) - output).max() < 7e-7


def test_next_states_keep_nan_and_take_infinities():
    values = np.array([np.nan, np.inf, -np.inf, 0], dtype=np.float32)
    for gate in range(4):
        gates, cell, hidden = aligned(4 * LANES), aligned(LANES), aligned(LANES)
        gates[gate * LANES :][:4] = values
        next_states(1, LANES, gates, cell, 0, hidden, 0)
        np.testing.assert_array_equal(np.isnan(hidden), [True] + [False] * (LANES - 1))
        np.testing.assert_array_equal(np.isnan(cell), [gate < 3] + [False] * (LANES - 1))


def test_padded_units_stay_zero():
    gates, cell, hidden = aligned(4 * LANES), aligned(LANES), np.ones(LANES, dtype=np.float32)
    next_states(1, LANES, gates, cell, 0, hidden, 0)
    assert not cell.any()
    assert not hidden.any()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, BLOCK_ROWS), st.integers(1, 7), st.integers(1, 9), st.floats(0, 1), NUMBERS)
def test_visible_inputs_are_those_that_differ_from_background(rows, positions, size, blank, seed):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (20, positions * size)).astype(np.uint8)
    images[random.random(images.shape) < blank] = 0
    sources = random.integers(-1, images.shape[1], (positions, size)).astype(np.int16)
    values = np.linspace(-0.4, 2.8, 256, dtype=np.float32)
    numbers = random.integers(0, 20, rows)
    seen = np.where(sources >= 0, images[numbers][:, np.maximum(sources, 0)], 0)
    firsts = [first_visible(images[number], sources) for number in numbers]
    shown = [np.flatnonzero(tiles.any(axis=1)) for tiles in seen]
    assert firsts == [1 + where[0] if where.size else positions for where in shown]

    visible = visible_of(images, numbers.astype(np.int32), sources, values, min(firsts))
    differences = visible.differences.reshape(positions + 1, size, BLOCK_ROWS)
    which = visible.which.reshape(positions + 1, size)
    for position in range(min(firsts), positions + 1):
        tile = seen[:, position - 1]
        count = visible.counts[0, position]
        np.testing.assert_array_equal(which[position, :count], np.flatnonzero(tile.any(axis=0)))
        expected = values[tile[:, which[position, :count]]] - values[0]
        np.testing.assert_array_equal(differences[position, :count, :rows].T, expected)


def test_inputs_of_a_block_follow_those_of_the_block_before():
    visible = visible_inputs(3, 5, 4)
    inputs = visible_at(visible, 2, 4)
    assert (inputs.block, inputs.row, inputs.step) == (5 * 4 * BLOCK_ROWS, 1, BLOCK_ROWS)
    assert inputs.values == visible.differences.ctypes.data + 4 * 2 * 4 * BLOCK_ROWS
    assert inputs.which == visible.which.ctypes.data + 8 * 2 * 4
    assert inputs.which_block == 5 * 4
    assert inputs.count == visible.counts.ctypes.data + 8 * 2
    assert inputs.count_block == 5


def test_blocks_hold_all_rows():
    assert [blocks_of(rows) for rows in (1, BLOCK_ROWS, BLOCK_ROWS + 1, 8 * BLOCK_ROWS)] == [1, 1, 2, 8]


def test_a_block_is_transposed():
    block = np.arange(3 * LANES * LANES, dtype=np.float32).reshape(LANES, 3 * LANES)
    result = transposed(block.ravel(), 3 * LANES).reshape(LANES, LANES)
    np.testing.assert_array_equal(result, block[:, :LANES].T)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 50), st.integers(1, 40), st.floats(0.1, 30), NUMBERS)
def test_masses_of_rows_match_float64_and_do_not_depend_on_the_others(rows, outputs, scale, seed):
    random = np.random.default_rng(seed)
    logits = np.full((rows, -(-outputs // 16) * 16), -1e30, dtype=np.float32)
    logits[:, :outputs] = scale * random.standard_normal((rows, outputs))
    masses, tops = masses_and_tops(logits, outputs)
    np.testing.assert_array_equal(tops, logits.max(axis=1))
    exact = np.exp(logits.astype(np.float64) - tops[:, None]).sum(axis=1)
    np.testing.assert_allclose(masses, exact, rtol=1e-6)
    alone = masses_and_tops(logits[-1:], outputs)
    np.testing.assert_array_equal([alone[0][0], alone[1][0]], [masses[-1], tops[-1]])


def test_a_row_with_nan_disturbs_no_other():
    logits = np.zeros((4, 16), dtype=np.float32)
    logits[1, 2] = np.nan
    masses, _ = masses_and_tops(logits, 16)
    np.testing.assert_array_equal(np.isnan(masses), [False, True, False, False])
