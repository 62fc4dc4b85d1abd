"""A SIMD vector of float32 as a Numba type, so that kernels say what runs in registers.

Numba's automatic vectorisation keeps neither the blocks of a matrix product nor a chain of polynomial
steps in registers reliably; LLVM does when it is handed vector values. `LANES` is the widest register of
this processor: 16 with AVX-512, otherwise 8 (LLVM splits it where registers are narrower still).
"""

from __future__ import annotations

import operator

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.datamodel import models
from numba.core.extending import intrinsic, lower_builtin, register_model
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature

FLOAT = ir.FloatType()
_INT32 = ir.IntType(32)
_BYTES = 4


def _has_wide_registers() -> bool:
    """Whether kernels are compiled for AVX-512 (NUMBA_CPU_FEATURES decides where it is set)."""
    if config.CPU_FEATURES is not None:
        return "+avx512f" in config.CPU_FEATURES
    if config.CPU_NAME not in (None, "host"):
        return False
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))


LANES = 16 if _has_wide_registers() else 8
VECTOR = ir.VectorType(FLOAT, LANES)
_LANE_INTEGERS = ir.VectorType(_INT32, LANES)


class VectorType(types.Type):
    """Numba's name for `LANES` float32 values in one register."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: object, numba_type: VectorType) -> None:
        super().__init__(manager, numba_type, VECTOR)


def splat_value(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    """LLVM: the scalar in every lane."""
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), ir.Constant(_LANE_INTEGERS, [0] * LANES))


def multiply_add_value(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """LLVM: x * y + z, fused where the processor can."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
    )
    return builder.call(function, [x, y, z])


def _register_operator(operation: object, emit: object) -> None:
    @infer_global(operation)
    class _Typing(ConcreteTemplate):
        cases = [signature(vector, vector, vector)]  # noqa: RUF012

    @lower_builtin(operation, vector, vector)
    def _lower(context, builder, sig, args):
        return emit(builder, *args)


_register_operator(operator.add, lambda builder, x, y: builder.fadd(x, y))
_register_operator(operator.sub, lambda builder, x, y: builder.fsub(x, y))
_register_operator(operator.mul, lambda builder, x, y: builder.fmul(x, y))
_register_operator(operator.truediv, lambda builder, x, y: builder.fdiv(x, y))


def _element(context, builder, array_type, array, index):
    """LLVM pointer to array[index] of a one-dimensional C-contiguous float32 array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def load(typingctx, array, index):
    """`LANES` consecutive values of a float32 array [n], from `index` on."""

    def generate(context, builder, sig, args):
        pointer = _element(context, builder, sig.args[0], *args)
        return builder.load(builder.bitcast(pointer, VECTOR.as_pointer()), align=_BYTES)

    return vector(array, types.intp), generate


@intrinsic
def store(typingctx, array, index, value):
    """Write a vector to a float32 array [n], from `index` on."""

    def generate(context, builder, sig, args):
        array, index, value = args
        pointer = _element(context, builder, sig.args[0], array, index)
        builder.store(value, builder.bitcast(pointer, VECTOR.as_pointer()), align=_BYTES)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def splat(typingctx, scalar):
    """A vector with the same float32 in every lane."""

    def generate(context, builder, sig, args):
        return splat_value(builder, args[0])

    return vector(types.float32), generate


@intrinsic
def multiply_add(typingctx, x, y, z):
    """X * y + z per lane."""

    def generate(context, builder, sig, args):
        return multiply_add_value(builder, *args)

    return vector(vector, vector, vector), generate


def _select_intrinsic(comparison: str, meaning: str) -> object:
    @intrinsic
    def select(typingctx, x, y):
        def generate(context, builder, sig, args):
            return builder.select(builder.fcmp_ordered(comparison, *args), *args[::-1])

        return vector(vector, vector), generate

    select.__doc__ = meaning
    return select


at_most = _select_intrinsic(">", "x where it does not exceed y, else y; NaN in x stays NaN.")
at_least = _select_intrinsic("<", "x where it is not below y, else y; NaN in x stays NaN.")


def _call_intrinsic(name: str, meaning: str) -> object:
    @intrinsic
    def call(typingctx, x):
        def generate(context, builder, sig, args):
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(VECTOR, [VECTOR]), f"llvm.{name}.v{LANES}f32"
            )
            return builder.call(function, args)

        return vector(vector), generate

    call.__doc__ = meaning
    return call


square_root = _call_intrinsic("sqrt", "Square root per lane, correctly rounded.")
nearest_integer = _call_intrinsic("rint", "Nearest integer per lane, as float32.")


@intrinsic
def times_power_of_two(typingctx, x, exponent):
    """X * 2**exponent per lane; the exponent is an integer in [-126, 127], held as float32."""

    def generate(context, builder, sig, args):
        x, exponent = args
        bias = ir.Constant(_LANE_INTEGERS, [127] * LANES)
        shift = ir.Constant(_LANE_INTEGERS, [23] * LANES)
        finite = builder.select(
            builder.fcmp_ordered("==", exponent, exponent), exponent, ir.Constant(VECTOR, [0.0] * LANES)
        )
        bits = builder.shl(builder.add(builder.fptosi(finite, _LANE_INTEGERS), bias), shift)
        return builder.fmul(x, builder.bitcast(bits, VECTOR))

    return vector(vector, vector), generate


def _fold_lanes(builder: ir.IRBuilder, value: ir.Value, combine: object) -> ir.Value:
    """Combine the upper with the lower half until one lane is left: one fixed order."""
    width = LANES
    while width > 1:
        width //= 2
        mask = ir.Constant(_LANE_INTEGERS, [lane + width if lane < width else lane for lane in range(LANES)])
        value = combine(value, builder.shuffle_vector(value, value, mask))
    return builder.extract_element(value, ir.Constant(_INT32, 0))


@intrinsic
def sum_of_lanes(typingctx, x):
    """Sum over all lanes, float32, by halving."""

    def generate(context, builder, sig, args):
        return _fold_lanes(builder, args[0], builder.fadd)

    return types.float32(vector), generate


@intrinsic
def largest_lane(typingctx, x):
    """Largest lane, float32; unspecified but harmless if a lane is NaN."""

    def generate(context, builder, sig, args):
        return _fold_lanes(builder, args[0], lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))

    return types.float32(vector), generate


@intrinsic
def address(typingctx, array, index):
    """Memory address of array[index] of a float32 array [n], for `gemm.multiply_accumulate`."""

    def generate(context, builder, sig, args):
        return builder.ptrtoint(_element(context, builder, sig.args[0], *args), ir.IntType(64))

    return types.int64(array, types.intp), generate
