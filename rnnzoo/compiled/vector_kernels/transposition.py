"""Square blocks of float32, `LANES` a side, transposed in registers."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic

from rnnzoo.compiled.vector_kernels.vectors import FLOAT, LANES, VECTOR

_BYTES = 4


def _emit_transposed(builder, rows):
    """LLVM: rows to columns, by exchanging off-diagonal quarters of blocks of 2, 4, ... `LANES` a side."""
    mask_type, rows, distance = ir.VectorType(ir.IntType(32), LANES), list(rows), 1
    while distance < LANES:
        # Lanes of the first vector count from 0, those of the second from LANES.
        upper = [lane if not lane & distance else LANES + lane - distance for lane in range(LANES)]
        lower = [lane + distance if not lane & distance else LANES + lane for lane in range(LANES)]
        for row in range(LANES):
            if not row & distance:
                pair = rows[row], rows[row + distance]
                rows[row] = builder.shuffle_vector(*pair, ir.Constant(mask_type, upper))
                rows[row + distance] = builder.shuffle_vector(*pair, ir.Constant(mask_type, lower))
        distance *= 2
    return rows


@intrinsic
def transpose_block(typingctx, target, source, source_row):
    """Write a block of `LANES` by `LANES` values, transposed.

    Args:
        target: address of the result, its rows one after the other.
        source, source_row: address of the block and the distance of its rows, in elements.

    """

    def generate(context, builder, sig, args):
        target, source, source_row = args
        target, source = (builder.inttoptr(x, FLOAT.as_pointer()) for x in (target, source))

        def vector_at(base, offset):
            return builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())

        numbers = [ir.Constant(ir.IntType(64), row) for row in range(LANES)]
        rows = [builder.load(vector_at(source, builder.mul(source_row, number)), align=_BYTES) for number in numbers]
        for number, column in zip(numbers, _emit_transposed(builder, rows), strict=True):
            offset = builder.mul(number, ir.Constant(ir.IntType(64), LANES))
            builder.store(column, vector_at(target, offset), align=_BYTES)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 3), generate
