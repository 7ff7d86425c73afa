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

WIDTH = 16
_F32, _F64, _I1, _I32 = ir.FloatType(), ir.DoubleType(), ir.IntType(1), ir.IntType(32)
VECTOR, BITS, _BOOLS = (ir.VectorType(kind, WIDTH) for kind in (_F32, _I32, _I1))


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
        super().__init__(manager, kind, VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):  # type: ignore[misc] # numba's base has no types
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BOOLS)


def _operators() -> None:
    """Teach numba what + - * / and comparisons of lanes are, with lanes or with one number."""

    def teach(symbol: Any, result: Any, operand: Any, build: Callable[..., Any]) -> None:
        pairs = [(operand, operand)]
        if operand is LANES:
            pairs += [(LANES, types.float32), (types.float32, LANES)]
        cases = [signature(result, *pair) for pair in pairs]
        made = {"key": symbol, "cases": cases}
        infer_global(symbol)(type(f"_{symbol.__name__}", (ConcreteTemplate,), made))

        def lower(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            return build(builder, *_alike(builder, sig.args, arguments))

        for pair in pairs:
            lower_builtin(symbol, *pair)(lower)

    teach(operator.add, LANES, LANES, lambda b, x, y: b.fadd(x, y, flags=["contract"]))
    teach(operator.sub, LANES, LANES, lambda b, x, y: b.fsub(x, y, flags=["contract"]))
    teach(operator.mul, LANES, LANES, lambda b, x, y: b.fmul(x, y, flags=["contract"]))
    teach(operator.truediv, LANES, LANES, lambda b, x, y: b.fdiv(x, y))
    teach(operator.lt, MASK, LANES, lambda b, x, y: b.fcmp_ordered("<", x, y))
    teach(operator.gt, MASK, LANES, lambda b, x, y: b.fcmp_ordered(">", x, y))
    teach(operator.eq, MASK, LANES, lambda b, x, y: b.fcmp_ordered("==", x, y))
    teach(operator.ne, MASK, LANES, lambda b, x, y: b.fcmp_unordered("!=", x, y))
    teach(operator.and_, MASK, MASK, lambda b, x, y: b.and_(x, y))
    infer_global(operator.neg)(
        type("_neg", (ConcreteTemplate,), {"key": operator.neg, "cases": [signature(LANES, LANES)]})
    )
    lower_builtin(operator.neg, LANES)(lambda context, b, sig, arguments: b.fneg(arguments[0]))


def _alike(builder: Any, kinds: Any, values: Any) -> list[Any]:
    """All as lanes: a number is in each."""
    return [
        widened(builder, x, VECTOR) if kind == types.float32 else x
        for kind, x in zip(kinds, values, strict=True)
    ]


def widened(builder: Any, scalar: Any, kind: Any) -> Any:
    """A number of a variable in every lane, for intrinsics."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(BITS, [0] * WIDTH))


def constant(value: float) -> Any:
    """A number in every lane, for intrinsics."""
    return ir.Constant(VECTOR, [value] * WIDTH)


def declared(builder: Any, name: str, result: Any, operands: list[Any]) -> Any:
    """A function of LLVM's own, for intrinsics."""
    kind = ir.FunctionType(result, operands)
    return numba.core.cgutils.get_or_insert_function(builder.module, kind, name)


_operators()


def numbers() -> Any:
    """The number of each lane, for intrinsics."""
    return ir.Constant(BITS, list(range(WIDTH)))


@intrinsic
def lanes_of(typing: Any, scalar: Any) -> Any:
    """A float32 in every lane."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return widened(builder, arguments[0], VECTOR)

    return LANES(types.float32), build


@intrinsic
def is_lane(typing: Any, k: Any) -> Any:
    """True in lane k alone; nowhere if there is no such lane."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        wide = widened(builder, builder.trunc(arguments[0], _I32), BITS)
        return builder.icmp_signed("==", numbers(), wide)

    return MASK(types.intp), build


@intrinsic
def where(typing: Any, mask: Any, x: Any, y: Any) -> Any:
    """x where the mask is true, else y."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return builder.select(*_alike(builder, sig.args, arguments))

    return LANES(MASK, x, y), build


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
def size_of(typing: Any, lanes: Any) -> Any:
    """The absolute values."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return builder.call(
            declared(builder, f"llvm.fabs.v{WIDTH}f32", VECTOR, [VECTOR]), arguments
        )

    return LANES(LANES), build


@intrinsic
def plus_float64(typing: Any, lanes: Any, scalar: Any) -> Any:
    """The sum with a float64, computed in float64 and rounded: 0 only where it is 0 there."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        lanes, scalar = arguments
        wide = ir.VectorType(_F64, WIDTH)
        one = builder.insert_element(ir.Constant(wide, ir.Undefined), scalar, ir.Constant(_I32, 0))
        other = builder.shuffle_vector(one, one, ir.Constant(BITS, [0] * WIDTH))
        return builder.fptrunc(builder.fadd(builder.fpext(lanes, wide), other), VECTOR)

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
