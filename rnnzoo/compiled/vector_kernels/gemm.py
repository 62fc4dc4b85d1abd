"""Matrix products C = A B or C += A B on row-major float32 blocks, register-blocked.

A block of C (`rows` x `vectors` registers) stays in registers over the whole depth; each step loads one row
of B, broadcasts one value per row of A and does rows x vectors fused multiply-adds. Every element of C is one
chain of multiply-adds in rising depth, so its value does not depend on how C was cut into blocks.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core.extending import intrinsic

from rnnzoo.compiled.vector_kernels.naming import named
from rnnzoo.compiled.vector_kernels.pointers import prefetch_address
from rnnzoo.compiled.vector_kernels.vectors import (
    FLOAT,
    LANES,
    VECTOR,
    multiply_add_value,
    splat_value,
)

_INT64 = ir.IntType(64)
_BYTES = 4

MOST_ROWS = {4: 6, 3: 8, 2: 8, 1: 8} if LANES == 16 else {2: 6}
"""Registers of C by panel width in vectors: 24 of 32 with AVX-512, 12 of 16 with AVX2."""


def _pointer(builder, base, offset):
    """LLVM: address of base[offset]."""
    return builder.gep(base, [offset])


def _vector_pointer(builder, base, offset: int):
    """LLVM: address of the vector that starts at base[offset]."""
    return builder.bitcast(_pointer(builder, base, ir.Constant(_INT64, offset)), VECTOR.as_pointer())


def emit_multiply_add(builder, sums, rows, distances, a, a_row, a_step, depth, b_start):
    """LLVM: sums + A B for a block that stays in registers over the depth, which is at least 1.

    Args:
        builder: where to emit.
        sums: vectors of the block, row by row.
        rows: number of rows.
        distances: where the vectors of a row lie in a row of B, in elements.
        a, a_row, a_step, depth: as in `multiply_accumulate`.
        b_start: emits the address of the row of B at a depth.

    Returns:
        The vectors of the block.

    """
    a_rows = [_pointer(builder, a, builder.mul(a_row, ir.Constant(_INT64, row))) for row in range(rows)]
    before = builder.block
    loop = builder.append_basic_block("depth")
    after = builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(_INT64)
    step.add_incoming(ir.Constant(_INT64, 0), before)
    running = [builder.phi(VECTOR) for _ in sums]
    for accumulator, value in zip(running, sums, strict=True):
        accumulator.add_incoming(value, before)
    b = b_start(step)
    b_vectors = [builder.load(_vector_pointer(builder, b, distance), align=_BYTES) for distance in distances]
    a_offset = builder.mul(step, a_step)
    updated = []
    for row in range(rows):
        value = builder.load(_pointer(builder, a_rows[row], a_offset), align=_BYTES)
        broadcast = splat_value(builder, value)
        for n, b_vector in enumerate(b_vectors):
            accumulator = running[row * len(distances) + n]
            updated.append(multiply_add_value(builder, broadcast, b_vector, accumulator))
    following = builder.add(step, ir.Constant(_INT64, 1))
    step.add_incoming(following, loop)
    for accumulator, value in zip(running, updated, strict=True):
        accumulator.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
    builder.position_at_end(after)
    return updated


def _emit_block(builder, rows, vectors, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, fetch=None):
    """LLVM for one block of C with a fixed number of rows and vectors; `fetch`: address to ask for, and its stride."""
    distances = [n * LANES for n in range(vectors)]
    zero = ir.Constant(VECTOR, [0.0] * LANES)
    targets = []
    for row in range(rows):
        start = _pointer(builder, c, builder.mul(c_row, ir.Constant(_INT64, row)))
        targets += [_vector_pointer(builder, start, distance) for distance in distances]
    initial = [builder.select(accumulate, builder.load(t, align=_BYTES), zero) for t in targets]

    def b_start(step):
        if fetch:
            coming, stride = fetch
            prefetch_address(builder, builder.add(coming, builder.mul(step, stride)))
        return _pointer(builder, b, builder.mul(step, b_row))

    updated = emit_multiply_add(builder, initial, rows, distances, a, a_row, a_step, depth, b_start)
    for target, value in zip(targets, updated, strict=True):
        builder.store(value, target, align=_BYTES)


def _emit_switch(builder, vectors, arguments, fetch=None):
    """LLVM for a block of as many rows as the first argument says."""
    rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate = arguments
    c, a, b = (builder.inttoptr(x, FLOAT.as_pointer()) for x in (c, a, b))
    keep = builder.trunc(accumulate, ir.IntType(1)) if accumulate.type.width != 1 else accumulate
    end = builder.append_basic_block("end")
    cases = [builder.append_basic_block(f"rows{count}") for count in range(1, MOST_ROWS[vectors] + 1)]
    switch = builder.switch(rows, end)
    for count, case in enumerate(cases, start=1):
        switch.add_case(ir.Constant(_INT64, count), case)
        builder.position_at_end(case)
        _emit_block(builder, count, vectors, c, c_row, a, a_row, a_step, b, b_row, depth, keep, fetch)
        builder.branch(end)
    builder.position_at_end(end)


_INTEGERS = (types.int64,) * 9


def _block_intrinsic(vectors: int):
    """An intrinsic that updates 1 to MOST_ROWS[vectors] rows of a panel `vectors` registers wide."""

    @intrinsic
    def block(typingctx, rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate):
        def generate(context, builder, sig, args):
            _emit_switch(builder, vectors, args)
            return context.get_dummy_value()

        return types.void(*_INTEGERS, types.boolean), generate

    return block


def _fetching_block_intrinsic(vectors: int):
    """The same, and at every depth the cache line at an address is asked for, which advances by a stride."""

    @intrinsic
    def block(typingctx, rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, coming, stride):
        def generate(context, builder, sig, args):
            _emit_switch(builder, vectors, args[:10], args[10:])
            return context.get_dummy_value()

        return types.void(*_INTEGERS, types.boolean, types.int64, types.int64), generate

    return block


def _panel(vectors: int):
    """A function over all rows of one panel: blocks of nearly equal height."""
    block = _block_intrinsic(vectors)
    most = MOST_ROWS[vectors]

    @named(f"panel_{vectors}")
    def panel(rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate):
        blocks = (rows + most - 1) // most
        height, taller = rows // blocks, rows % blocks
        for index in range(blocks):
            count = height + 1 if index < taller else height
            block(count, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate)
            c += _BYTES * count * c_row
            a += _BYTES * count * a_row

    return panel


def _fetching_panel(vectors: int):
    """The same, and so many bytes from an address on are asked for meanwhile."""
    block = _fetching_block_intrinsic(vectors)
    most = MOST_ROWS[vectors]

    @named(f"fetching_panel_{vectors}")
    def panel(rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, coming, size):
        blocks = (rows + most - 1) // most
        height, taller = rows // blocks, rows % blocks
        stride = (size + blocks * depth - 1) // (blocks * depth)
        for index in range(blocks):
            count = height + 1 if index < taller else height
            block(count, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, coming, stride)
            coming += depth * stride
            c += _BYTES * count * c_row
            a += _BYTES * count * a_row

    return panel


_wide_panel = _panel(4) if LANES == 16 else None
_panel_of_three = _panel(3) if LANES == 16 else None
_panel_of_two = _panel(2)
_panel_of_one = _panel(1) if LANES == 16 else None
_fetching_wide_panel = _fetching_panel(4) if LANES == 16 else None
_fetching_panel_of_three = _fetching_panel(3) if LANES == 16 else None
_fetching_panel_of_two = _fetching_panel(2)
_fetching_panel_of_one = _fetching_panel(1) if LANES == 16 else None

if LANES == 16:

    @njit
    def multiply_accumulate(rows, columns, depth, c, c_row, a, a_row, a_step, b, b_row, accumulate):
        """C = A B, or C += A B where `accumulate` is true.

        Args:
            rows, columns, depth: C is [rows, columns], A [rows, depth], B [depth, columns]; columns a
                multiple of 16; all at least 1.
            c, a, b: addresses of the first element (`vectors.address`).
            c_row, b_row: distance of rows, in elements; columns are contiguous.
            a_row, a_step: distance in A of rows and of successive depths, in elements (swap them to read A
                transposed).
            accumulate: add to C instead of replacing it.

        """
        column = 0
        while column + 4 * LANES <= columns:
            offset = _BYTES * column
            _wide_panel(rows, c + offset, c_row, a, a_row, a_step, b + offset, b_row, depth, accumulate)
            column += 4 * LANES
        if column + 3 * LANES <= columns:
            offset = _BYTES * column
            _panel_of_three(rows, c + offset, c_row, a, a_row, a_step, b + offset, b_row, depth, accumulate)
            column += 3 * LANES
        if column + 2 * LANES <= columns:
            offset = _BYTES * column
            _panel_of_two(rows, c + offset, c_row, a, a_row, a_step, b + offset, b_row, depth, accumulate)
            column += 2 * LANES
        if column < columns:
            offset = _BYTES * column
            _panel_of_one(rows, c + offset, c_row, a, a_row, a_step, b + offset, b_row, depth, accumulate)

else:

    @njit
    def multiply_accumulate(rows, columns, depth, c, c_row, a, a_row, a_step, b, b_row, accumulate):
        """As above, for registers of 8 values: panels of two registers fit every multiple of 16."""
        for column in range(0, columns, 2 * LANES):
            offset = _BYTES * column
            _panel_of_two(rows, c + offset, c_row, a, a_row, a_step, b + offset, b_row, depth, accumulate)


if LANES == 16:

    @njit
    def multiply_and_fetch(rows, columns, depth, c, c_row, a, a_row, a_step, b, b_row, accumulate, coming, size):
        """`multiply_accumulate`, during which memory that is needed next is fetched.

        Args:
            rows, columns, depth, c, c_row, a, a_row, a_step, b, b_row, accumulate: see there.
            coming, size: address and number of bytes, which need not be anybody's.

        """
        if columns >= 4 * LANES:
            width = 4 * LANES
            _fetching_wide_panel(rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, coming, size)
        elif columns >= 3 * LANES:
            width = 3 * LANES
            _fetching_panel_of_three(rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, coming, size)
        elif columns >= 2 * LANES:
            width = 2 * LANES
            _fetching_panel_of_two(rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, coming, size)
        else:
            width = LANES
            _fetching_panel_of_one(rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, coming, size)
        if width < columns:
            offset = _BYTES * width
            multiply_accumulate(
                rows, columns - width, depth, c + offset, c_row, a, a_row, a_step, b + offset, b_row, accumulate
            )

else:

    @njit
    def multiply_and_fetch(rows, columns, depth, c, c_row, a, a_row, a_step, b, b_row, accumulate, coming, size):
        """As above, for registers of 8 values."""
        width, offset = 2 * LANES, 2 * LANES * _BYTES
        _fetching_panel_of_two(rows, c, c_row, a, a_row, a_step, b, b_row, depth, accumulate, coming, size)
        if width < columns:
            multiply_accumulate(
                rows, columns - width, depth, c + offset, c_row, a, a_row, a_step, b + offset, b_row, accumulate
            )
