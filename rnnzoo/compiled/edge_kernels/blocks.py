"""Work on all edges of one receiver, a few senders by a few vectors of channels at a time, in registers.

New edges are finished where they were multiplied: ReLU, signs, pools and the ways to memory come before they leave the
registers, so each is touched once. What each piece of work is told is a tuple of integers: addresses and sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from rnnzoo.compiled.vector_kernels.gemm import MOST_ROWS, emit_multiply_add
from rnnzoo.compiled.vector_kernels.naming import named
from rnnzoo.compiled.vector_kernels.pointers import emit_stream
from rnnzoo.compiled.vector_kernels.vectors import FLOAT, LANES, VECTOR

_INT64 = ir.IntType(64)
_BYTES = 4
_NUMBERS_PER_SIGN_BYTE = 8
_SIGN_BYTE_SHIFT = 5
"""Bytes of numbers to bytes of their signs, as a power of two."""
WIDEST = max(MOST_ROWS) * LANES
"""Columns that a block has at most."""

Values = list[ir.Value]


class Block:
    """LLVM for some rows and vectors of arrays whose rows lie some bytes apart, from `row` and byte `column` on."""

    def __init__(self, builder: ir.IRBuilder, rows: int, vectors: int, row: ir.Value, column: ir.Value) -> None:
        self.builder, self.rows, self.vectors, self.row, self.column = builder, rows, vectors, row, column
        self.zero = ir.Constant(VECTOR, [0.0] * LANES)
        self.places = [(row, vector) for row in range(rows) for vector in range(vectors)]

    def number(self, value: int) -> ir.Value:
        """An integer."""
        return ir.Constant(_INT64, value)

    def at(self, start: ir.Value, length: ir.Value, place: tuple[int, int]) -> ir.Value:
        """Address of a vector in an array with rows of `length` bytes."""
        row = self.builder.mul(self.builder.add(self.row, self.number(place[0])), length)
        column = self.builder.add(self.column, self.number(place[1] * _BYTES * LANES))
        return self.builder.add(self.builder.add(start, row), column)

    def at_signs(self, start: ir.Value, length: ir.Value, place: tuple[int, int]) -> ir.Value:
        """Address of the signs of a vector; `length` is that of a row of numbers."""
        length, column = (self.builder.ashr(size, self.number(_SIGN_BYTE_SHIFT)) for size in (length, self.column))
        row = self.builder.mul(self.builder.add(self.row, self.number(place[0])), length)
        column = self.builder.add(column, self.number(place[1] * LANES // _NUMBERS_PER_SIGN_BYTE))
        return self.builder.add(self.builder.add(start, row), column)

    def in_row(self, start: ir.Value, vector: int) -> ir.Value:
        """Address of a vector of a single row."""
        return self.builder.add(start, self.builder.add(self.column, self.number(vector * _BYTES * LANES)))

    def load(self, address: ir.Value) -> ir.Value:
        """A vector from memory."""
        return self.builder.load(self.builder.inttoptr(address, VECTOR.as_pointer()), align=_BYTES)

    def store(self, address: ir.Value, value: ir.Value) -> None:
        """A vector to memory."""
        self.builder.store(value, self.builder.inttoptr(address, VECTOR.as_pointer()), align=_BYTES)

    def add_to(self, address: ir.Value, value: ir.Value) -> None:
        """A vector added to one in memory."""
        self.store(address, self.builder.fadd(self.load(address), value))

    def product(self, sums: Values, a: ir.Value, depth: ir.Value, b: ir.Value, length: ir.Value) -> Values:
        """Sums + A B.

        Args:
            sums: what is added to, all places.
            a, depth: address of A, all its rows, and how many numbers they have.
            b, length: address of B and the bytes of its rows.
        """
        builder = self.builder
        skipped = builder.mul(self.row, builder.mul(depth, self.number(_BYTES)))
        a, b = (builder.add(start, offset) for start, offset in ((a, skipped), (b, self.column)))
        a, b = (builder.inttoptr(address, FLOAT.as_pointer()) for address in (a, b))
        b_step = builder.sdiv(length, self.number(_BYTES))
        distances = [vector * LANES for vector in range(self.vectors)]
        return emit_multiply_add(
            builder, sums, self.rows, distances, a, depth, self.number(1), depth,
            lambda step: builder.gep(b, [builder.mul(step, b_step)]),
        )  # fmt: skip

    def add_rows(self, total: ir.Value, values: Values) -> None:
        """The sum over the rows of the block added to a single row."""
        for vector in range(self.vectors):
            own = values[vector :: self.vectors]
            while len(own) > 1:
                pairs = [self.builder.fadd(*own[at : at + 2]) for at in range(0, len(own) - 1, 2)]
                own = pairs + own[len(pairs) * 2 :]
            self.add_to(self.in_row(total, vector), own[0])

    def store_edges(self, values: Values, length: ir.Value, kept: ir.Value, near: ir.Value) -> None:
        """Write the block to two arrays, each if it is there: past the caches, and as usual."""
        for start, write in ((kept, self._stream), (near, self.store)):
            with self.builder.if_then(self.builder.icmp_signed("!=", start, self.number(0))):
                for place, value in zip(self.places, values, strict=True):
                    write(self.at(start, length, place), value)

    def _stream(self, address: ir.Value, value: ir.Value) -> None:
        emit_stream(self.builder, address, value)


def over_blocks(emit: Callable[..., None]) -> Callable[..., None]:
    """A compiled function (rows, columns, arguments) that goes over blocks of all rows and columns.

    Args:
        emit: emits LLVM for a `Block`, told the arguments, a tuple of integers.
    """
    panels = {vectors: _panel(emit, vectors) for vectors in MOST_ROWS}
    if LANES < 16:
        pairs = panels[2]

        @named(emit.__name__)
        def over_pairs(rows, columns, arguments):
            for column in range(0, columns, 2 * LANES):
                pairs(rows, _BYTES * column, arguments)

        return over_pairs
    four, three, two, one = (panels[vectors] for vectors in (4, 3, 2, 1))

    @named(emit.__name__)
    def over(rows, columns, arguments):
        column = 0
        while column < columns:
            rest, at = columns - column, _BYTES * column
            if rest >= 4 * LANES:
                four(rows, at, arguments)
                column += 4 * LANES
            elif rest >= 3 * LANES:
                three(rows, at, arguments)
                column += 3 * LANES
            elif rest >= 2 * LANES:
                two(rows, at, arguments)
                column += 2 * LANES
            else:
                one(rows, at, arguments)
                column += LANES

    return over


def _panel(emit: Callable[..., None], vectors: int) -> Callable[..., None]:
    """A function over all rows of some vectors: blocks of nearly equal height."""
    most = MOST_ROWS[vectors]

    @intrinsic
    def block(typingctx: Any, count: Any, row: Any, column: Any, arguments: Any) -> Any:
        def generate(context, builder, sig, args):
            count, row, column, arguments = args
            numbers = cgutils.unpack_tuple(builder, arguments)
            end = builder.append_basic_block("end")
            switch = builder.switch(count, end)
            for rows in range(1, most + 1):
                case = builder.append_basic_block(f"rows{rows}")
                switch.add_case(ir.Constant(_INT64, rows), case)
                builder.position_at_end(case)
                emit(Block(builder, rows, vectors, row, column), *numbers)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64, arguments), generate

    @named(f"{emit.__name__}_{vectors}")
    def panel(rows, column, arguments):
        blocks = (rows + most - 1) // most
        height, taller, row = rows // blocks, rows % blocks, 0
        for index in range(blocks):
            count = height + 1 if index < taller else height
            block(count, row, column, arguments)
            row += count

    return panel
