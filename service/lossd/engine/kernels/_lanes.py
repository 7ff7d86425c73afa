"""Sixteen float32 at once, as a type that kernels compute with.

A row is read in chunks of sixteen; what a chunk has beyond the end of the row is filled in, not
computed one by one. The order of every sum is thereby a property of the row's length alone, on
any machine, and a short row costs as little as its chunks.
"""

import operator
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from lossd.engine.kernels._float32 import (
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    LOWEST_EXPONENT,
    POLYNOMIAL,
    ROUND,
)

WIDTH = 16
_F32, _F64, _I1, _I32 = ir.FloatType(), ir.DoubleType(), ir.IntType(1), ir.IntType(32)
_VECTOR, _BITS, _BOOLS = (ir.VectorType(kind, WIDTH) for kind in (_F32, _I32, _I1))
_POINTER = ir.PointerType(_F32)


class _Lanes(types.Type):  # type: ignore[misc] # numba's base has no types
    def __init__(self) -> None:
        super().__init__(name="lanes_of_float32")


class _Mask(types.Type):  # type: ignore[misc] # numba's base has no types
    def __init__(self) -> None:
        super().__init__(name="mask_of_lanes")


LANES, MASK = _Lanes(), _Mask()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc] # numba's base has no types
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):  # type: ignore[misc] # numba's base has no types
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BOOLS)


def _operators() -> None:
    """Teach numba what + - * / and comparisons of lanes are."""

    def teach(symbol: Any, result: Any, operand: Any, build: Callable[..., Any]) -> None:
        template = type(
            f"_{symbol.__name__}",
            (ConcreteTemplate,),
            {"key": symbol, "cases": [signature(result, operand, operand)]},
        )
        infer_global(symbol)(template)
        kind = type(operand)

        def lower(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            return build(builder, *arguments)

        lower_builtin(symbol, kind, kind)(lower)

    teach(operator.add, LANES, LANES, lambda b, x, y: b.fadd(x, y, flags=["contract"]))
    teach(operator.sub, LANES, LANES, lambda b, x, y: b.fsub(x, y, flags=["contract"]))
    teach(operator.mul, LANES, LANES, lambda b, x, y: b.fmul(x, y, flags=["contract"]))
    teach(operator.truediv, LANES, LANES, lambda b, x, y: b.fdiv(x, y))
    teach(operator.lt, MASK, LANES, lambda b, x, y: b.fcmp_ordered("<", x, y))
    teach(operator.gt, MASK, LANES, lambda b, x, y: b.fcmp_ordered(">", x, y))
    teach(operator.eq, MASK, LANES, lambda b, x, y: b.fcmp_ordered("==", x, y))
    teach(operator.ne, MASK, LANES, lambda b, x, y: b.fcmp_unordered("!=", x, y))
    teach(operator.and_, MASK, MASK, lambda b, x, y: b.and_(x, y))


_operators()


def _splat(builder: Any, scalar: Any, kind: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(_BITS, [0] * WIDTH))


def _all(value: float) -> Any:
    return ir.Constant(_VECTOR, [value] * WIDTH)


def _declare(builder: Any, name: str, result: Any, operands: list[Any]) -> Any:
    kind = ir.FunctionType(result, operands)
    return numba.core.cgutils.get_or_insert_function(builder.module, kind, name)


def _fused(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once where the machine can."""
    name = f"llvm.fmuladd.v{WIDTH}f32"
    return builder.call(_declare(builder, name, _VECTOR, [_VECTOR] * 3), [x, y, z])


def _numbers() -> Any:
    return ir.Constant(_BITS, list(range(WIDTH)))


def element(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """A pointer to an element of an array, for intrinsics."""
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.gep(data, [index])


def _fits_and_mask(context: Any, builder: Any, kind: Any, array: Any, j: Any) -> tuple[Any, Any]:
    """Whether there are sixteen more elements, and which of them there are."""
    made = context.make_array(kind)(context, builder, value=array)
    left = builder.sub(builder.extract_value(made.shape, 0), j)
    fits = builder.icmp_signed(">=", left, ir.Constant(left.type, WIDTH))
    count = _splat(builder, builder.trunc(left, _I32), _BITS)
    return fits, lambda: builder.icmp_signed("<", _numbers(), count)


@intrinsic
def load(typing: Any, x: Any, j: Any, beyond: Any) -> Any:
    """x[j : j + 16] of a float32[::1]; `beyond` in the place of what is beyond its end."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        array, index, filling = arguments
        at = builder.bitcast(
            element(context, builder, sig.args[0], array, index), ir.PointerType(_VECTOR)
        )
        fits, mask = _fits_and_mask(context, builder, sig.args[0], array, index)
        with builder.if_else(fits, likely=True) as (whole, partly):
            with whole:
                all_of_it = builder.load(at, align=4)
                end_of_whole = builder.block
            with partly:
                name = f"llvm.masked.load.v{WIDTH}f32.p0"
                kinds = [ir.PointerType(_VECTOR), _I32, _BOOLS, _VECTOR]
                some = builder.call(
                    _declare(builder, name, _VECTOR, kinds),
                    [at, ir.Constant(_I32, 4), mask(), _splat(builder, filling, _VECTOR)],
                )
                end_of_partly = builder.block
        found = builder.phi(_VECTOR)
        found.add_incoming(all_of_it, end_of_whole)
        found.add_incoming(some, end_of_partly)
        return found

    return LANES(x, types.intp, types.float32), build


@intrinsic
def store(typing: Any, x: Any, j: Any, lanes: Any) -> Any:
    """Write x[j : j + 16], as far as x goes."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        array, index, value = arguments
        at = builder.bitcast(
            element(context, builder, sig.args[0], array, index), ir.PointerType(_VECTOR)
        )
        fits, mask = _fits_and_mask(context, builder, sig.args[0], array, index)
        with builder.if_else(fits, likely=True) as (whole, partly):
            with whole:
                builder.store(value, at, align=4)
            with partly:
                name = f"llvm.masked.store.v{WIDTH}f32.p0"
                kinds = [_VECTOR, ir.PointerType(_VECTOR), _I32, _BOOLS]
                builder.call(
                    _declare(builder, name, ir.VoidType(), kinds),
                    [value, at, ir.Constant(_I32, 4), mask()],
                )
        return context.get_dummy_value()

    return types.void(x, types.intp, LANES), build


@intrinsic
def lanes_of(typing: Any, scalar: Any) -> Any:
    """A float32 in every lane."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0], _VECTOR)

    return LANES(types.float32), build


@intrinsic
def is_lane(typing: Any, k: Any) -> Any:
    """True in lane k alone; nowhere if there is no such lane."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        wide = _splat(builder, builder.trunc(arguments[0], _I32), _BITS)
        return builder.icmp_signed("==", _numbers(), wide)

    return MASK(types.intp), build


@intrinsic
def where(typing: Any, mask: Any, x: Any, y: Any) -> Any:
    """x where the mask is true, else y."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return LANES(MASK, LANES, LANES), build


@intrinsic
def any_of(typing: Any, mask: Any) -> Any:
    """Whether the mask is true anywhere."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(MASK), build


@intrinsic
def larger(typing: Any, kept: Any, other: Any) -> Any:
    """The larger in each lane; `kept` where `other` is NaN."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        kept, other = arguments
        return builder.select(builder.fcmp_ordered(">", other, kept), other, kept)

    return LANES(LANES, LANES), build


@intrinsic
def plus_float64(typing: Any, lanes: Any, scalar: Any) -> Any:
    """The sum with a float64, computed in float64 and rounded: 0 only where it is 0 there."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        lanes, scalar = arguments
        wide = ir.VectorType(_F64, WIDTH)
        one = builder.insert_element(ir.Constant(wide, ir.Undefined), scalar, ir.Constant(_I32, 0))
        other = builder.shuffle_vector(one, one, ir.Constant(_BITS, [0] * WIDTH))
        return builder.fptrunc(builder.fadd(builder.fpext(lanes, wide), other), _VECTOR)

    return LANES(LANES, types.float64), build


def _fold(builder: Any, vector: Any, join: Callable[[Any, Any], Any]) -> Any:
    """Join the upper half with the lower one until one is left."""
    width = WIDTH
    while width > 1:
        width //= 2
        halves = [
            builder.shuffle_vector(
                vector,
                vector,
                ir.Constant(ir.VectorType(_I32, width), list(range(start, start + width))),
            )
            for start in (0, width)
        ]
        vector = join(*halves)
    return builder.extract_element(vector, ir.Constant(_I32, 0))


@intrinsic
def sum_of(typing: Any, lanes: Any) -> Any:
    """The sum of the lanes, in float64."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        wide = builder.fpext(arguments[0], ir.VectorType(_F64, WIDTH))
        return _fold(builder, wide, builder.fadd)

    return types.float64(LANES), build


@intrinsic
def largest_of(typing: Any, lanes: Any) -> Any:
    """The largest lane."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        def join(x: Any, y: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", x, y), x, y)

        return _fold(builder, arguments[0], join)

    return types.float32(LANES), build


@intrinsic
def exp_of_negative(typing: Any, lanes: Any) -> Any:
    """e^x for x <= 0, with a relative error below 8.5e-8; 0 below -87.34, NaN of NaN."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        x = arguments[0]
        rounded = _fused(builder, x, _all(LOG2_E), _all(ROUND))
        n = builder.fsub(rounded, _all(ROUND))
        r = _fused(builder, n, _all(-LN2_HIGH), x)
        r = _fused(builder, n, _all(-LN2_LOW), r)
        p = _all(POLYNOMIAL[0])
        for coefficient in POLYNOMIAL[1:]:
            p = _fused(builder, p, r, _all(coefficient))
        y = _fused(builder, p, builder.fmul(r, r), r)
        y = builder.fadd(y, _all(1.0))
        twos = builder.shl(builder.bitcast(rounded, _BITS), ir.Constant(_BITS, [23] * WIDTH))
        twos = builder.add(twos, ir.Constant(_BITS, [127 << 23] * WIDTH))
        y = builder.fmul(y, builder.bitcast(twos, _VECTOR))
        return builder.select(builder.fcmp_ordered("<", x, _all(LOWEST_EXPONENT)), _all(0.0), y)

    return LANES(LANES), build
