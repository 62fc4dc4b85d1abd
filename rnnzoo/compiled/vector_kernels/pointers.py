"""Vectors at memory addresses, for kernels that go over many arrays at once, and which of their lanes are positive."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from rnnzoo.compiled.vector_kernels.vectors import LANES, VECTOR, vector

_BYTES = 4
_INT32 = ir.IntType(32)
_BITS = ir.IntType(LANES)
BYTES_OF_SIGNS = LANES // 8
"""What `keep_positive` writes."""


def _zero() -> ir.Constant:
    return ir.Constant(VECTOR, [0.0] * LANES)


def prefetch_address(builder: ir.IRBuilder, address: ir.Value) -> None:
    """LLVM: ask for the cache line at an address, which need not be anybody's."""
    byte = ir.IntType(8).as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [byte, _INT32, _INT32, _INT32])
    function = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0i8")
    reading, nearness, data = (ir.Constant(_INT32, number) for number in (0, 3, 1))
    builder.call(function, [builder.inttoptr(address, byte), reading, nearness, data])


def emit_stream(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    """LLVM: write a vector to an address that is a multiple of its size, past the caches."""
    store = builder.store(value, builder.inttoptr(address, VECTOR.as_pointer()), align=_BYTES * LANES)
    store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_INT32, 1)]))


def emit_kept(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """LLVM: a vector with 0 where `emit_positive` leaves 0."""
    return builder.select(builder.fcmp_unordered(">", value, _zero()), value, _zero())


def emit_positive(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> ir.Value:
    """LLVM: one bit per lane tells an address where a vector is positive or NaN; the vector with 0 elsewhere."""
    positive = builder.fcmp_unordered(">", value, _zero())
    builder.store(builder.bitcast(positive, _BITS), builder.inttoptr(address, _BITS.as_pointer()), align=1)
    return builder.select(positive, value, _zero())


def emit_where_positive(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> ir.Value:
    """LLVM: a vector where the bits that `emit_positive` left at an address are set, 0 elsewhere."""
    bits = builder.load(builder.inttoptr(address, _BITS.as_pointer()), align=1)
    return builder.select(builder.bitcast(bits, ir.VectorType(ir.IntType(1), LANES)), value, _zero())


@intrinsic
def load_at(typingctx, address):
    """The vector at an address."""

    def generate(context, builder, sig, args):
        return builder.load(builder.inttoptr(args[0], VECTOR.as_pointer()), align=_BYTES)

    return vector(types.int64), generate


@intrinsic
def store_at(typingctx, address, value):
    """Write a vector to an address."""

    def generate(context, builder, sig, args):
        address, value = args
        builder.store(value, builder.inttoptr(address, VECTOR.as_pointer()), align=_BYTES)
        return context.get_dummy_value()

    return types.void(types.int64, vector), generate


@intrinsic
def keep_positive(typingctx, address, value):
    """A vector with 0 where it is negative, NaN kept; one bit per lane tells an address where it is positive or NaN."""

    def generate(context, builder, sig, args):
        return emit_positive(builder, *args)

    return vector(types.int64, vector), generate


@intrinsic
def where_positive(typingctx, address, value):
    """A vector where the bits that `keep_positive` left at an address are set, 0 elsewhere."""

    def generate(context, builder, sig, args):
        return emit_where_positive(builder, *args)

    return vector(types.int64, vector), generate
