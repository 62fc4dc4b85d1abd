"""One position of one LSTM layer where nothing is kept for a backward pass: products and nonlinearities block by block.

The pre-activations of some rows and `LANES` units, all four gates, stay in registers over the whole depth, inputs and
recurrence; the nonlinearities take them from there through a buffer of a few cache lines. Every element is one chain
of multiply-adds in a fixed order, so a row's results do not depend on the others.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba import njit, types
from numba.core.extending import intrinsic

from rnnzoo.compiled.vector_kernels.activations import next_state
from rnnzoo.compiled.vector_kernels.gemm import emit_multiply_add
from rnnzoo.compiled.vector_kernels.vectors import FLOAT, LANES, VECTOR, load, store
from rnnzoo.generation.engines.numba_kernels.layout import GROUP

BLOCK_ROWS = 6 if LANES == 16 else 3
"""Rows whose four gates stay in registers: 24 of 32 with AVX-512, 12 of 16 with AVX2."""

_INT64 = ir.IntType(64)
_FLOAT_BYTES, _INTEGER_BYTES = 4, 8
_GATES = [gate * GROUP for gate in range(4)]


@njit
def blocks_of(rows):
    """Into how many blocks some rows are cut: all but the last are of `BLOCK_ROWS`."""
    return (rows + BLOCK_ROWS - 1) // BLOCK_ROWS


def _emit(builder, rows, target, start, start_rows, start_step, inputs, recurrence, width):
    """LLVM for a fixed number of rows; `inputs` and `recurrence` are A, its strides and B."""

    def at(base, offset):
        return builder.gep(base, [offset])

    def vector_at(base, offset):
        return builder.bitcast(at(base, ir.Constant(_INT64, offset)), VECTOR.as_pointer())

    sums = []
    for row in range(rows):
        begin = at(start, builder.load(at(start_rows, builder.mul(start_step, ir.Constant(_INT64, row)))))
        sums += [builder.load(vector_at(begin, gate), align=_FLOAT_BYTES) for gate in _GATES]

    a, a_row, a_step, which, depth, b = inputs
    before = builder.block
    some = builder.append_basic_block("inputs")
    joined = builder.append_basic_block("recurrence")
    builder.cbranch(builder.icmp_signed(">", depth, ir.Constant(_INT64, 0)), some, joined)
    builder.position_at_end(some)

    def chosen_row(step, b=b):
        return at(b, builder.mul(builder.load(at(which, step)), width))

    projected = emit_multiply_add(builder, sums, rows, _GATES, a, a_row, a_step, depth, chosen_row)
    some = builder.block
    builder.branch(joined)
    builder.position_at_end(joined)
    phis = [builder.phi(VECTOR) for _ in sums]
    for phi, without, with_inputs in zip(phis, sums, projected, strict=True):
        phi.add_incoming(without, before)
        phi.add_incoming(with_inputs, some)

    a, a_row, depth, b = recurrence
    one = ir.Constant(_INT64, 1)
    sums = emit_multiply_add(
        builder, phis, rows, _GATES, a, a_row, one, depth, lambda step: at(b, builder.mul(step, width))
    )
    for n, value in enumerate(sums):
        builder.store(value, vector_at(target, n * LANES), align=_FLOAT_BYTES)


@intrinsic
def _block(
    typingctx, rows, target, start, start_rows, start_step,
    inputs, input_row, input_step, which, count, input_weights, hidden, depth, recurrent_weights, width,
):  # fmt: skip
    """Pre-activations of 1 to `BLOCK_ROWS` rows; arguments as in `pre_activations`."""

    def generate(context, builder, sig, args):
        rows, target, start, start_rows, start_step, a, a_row, a_step, which, count, b, h, depth, r, width = args
        target, start, a, b, h, r = (builder.inttoptr(x, FLOAT.as_pointer()) for x in (target, start, a, b, h, r))
        start_rows, which, count = (builder.inttoptr(x, _INT64.as_pointer()) for x in (start_rows, which, count))
        inputs, recurrence = (a, a_row, a_step, which, builder.load(count), b), (h, depth, depth, r)
        end = builder.append_basic_block("end")
        switch = builder.switch(rows, end)
        for height in range(1, BLOCK_ROWS + 1):
            case = builder.append_basic_block(f"rows{height}")
            switch.add_case(ir.Constant(_INT64, height), case)
            builder.position_at_end(case)
            _emit(builder, height, target, start, start_rows, start_step, inputs, recurrence, width)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 15), generate


class Inputs(NamedTuple):
    """The inputs of a layer at one position: addresses, and distances in elements.

    Args:
        values, block, row, step: values, distance of blocks of rows, of rows in a block and of successive inputs.
        which, which_block: their numbers, int64 [count], and the distance of the next block's.
        count, count_block: how many there are, int64, may be 0; the distance of the next block's.

    """

    values: int
    block: int
    row: int
    step: int
    which: int
    which_block: int
    count: int
    count_block: int


@njit
def pre_activations(
    rows, target, start, start_rows, start_step, inputs, input_weights, hidden, hidden_size, recurrent_weights
):
    """Pre-activations of the four gates of `LANES` units at one position.

    All arguments are integers, for arrays cost a counted reference wherever they are handed on.

    Args:
        rows: how many.
        target: address of the result, float32 [rows, 4, LANES].
        start: address of what a row's sums start from, four vectors `GROUP` apart.
        start_rows, start_step: address of where after `start` each row's lie, int64; distance of the next row's.
        inputs: `Inputs`.
        input_weights: address of these units' columns of the transposed input weights.
        hidden, hidden_size: address of the outputs before this position, [rows, hidden_size].
        recurrent_weights: address of these units' columns of the transposed recurrent weights.

    """
    for block in range(blocks_of(rows)):
        begin = block * BLOCK_ROWS
        _block(
            min(BLOCK_ROWS, rows - begin), target + begin * 4 * LANES * _FLOAT_BYTES,
            start, start_rows + begin * start_step * _INTEGER_BYTES, start_step,
            inputs.values + block * inputs.block * _FLOAT_BYTES, inputs.row, inputs.step,
            inputs.which + block * inputs.which_block * _INTEGER_BYTES,
            inputs.count + block * inputs.count_block * _INTEGER_BYTES, input_weights,
            hidden + begin * hidden_size * _FLOAT_BYTES, hidden_size, recurrent_weights, 4 * hidden_size,
        )  # fmt: skip


@njit
def next_states(rows, hidden_size, gates, cell, cell_at, hidden, hidden_at):
    """Cell states in place and outputs of `LANES` units from their pre-activations [rows, 4, LANES]."""
    for row in range(rows):
        at, own = 4 * LANES * row, row * hidden_size
        state, output = next_state(
            load(gates, at), load(gates, at + LANES), load(gates, at + 2 * LANES), load(gates, at + 3 * LANES),
            load(cell, cell_at + own),
        )  # fmt: skip
        store(cell, cell_at + own, state)
        store(hidden, hidden_at + own, output)
