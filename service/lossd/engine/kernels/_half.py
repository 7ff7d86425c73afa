"""Rows of float16 or bfloat16, read and written by a compiled kernel in float32.

Arrays come as 16-bit words with a code for what these are, so that a kernel has one signature for
every mix of dtypes, float32 included. Conversions are integer arithmetic: it is the same on every
machine, and compiles to vector instructions where there are none for half precision.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from lossd.compiled import inlined
from lossd.engine.kernels._job import FINE, OVERFLOW

FLOAT32, FLOAT16, BFLOAT16 = 0, 1, 2
_CODES = {np.dtype(np.float32): FLOAT32, np.dtype(np.uint16): FLOAT16, np.dtype(np.int16): BFLOAT16}
_F32, _I32, _I16 = ir.FloatType(), ir.IntType(32), ir.IntType(16)
_INFINITE_FLOAT16, _INFINITE_BFLOAT16 = np.uint16(0x7C00), np.uint16(0x7F80)
_SIZE = np.uint16(0x7FFF)  # the bits of half precision, but for the sign


def words_of(x: NDArray[Any]) -> tuple[NDArray[np.uint16], int]:
    """The 16-bit words of an array that `as_array` made, in a row, and what they are."""
    return x.reshape(-1).view(np.uint16), _CODES[x.dtype]


def _int(value: int) -> Any:
    return ir.Constant(_I32, value)


@intrinsic
def float32_of_float16(typing: Any, bits: Any) -> Any:
    """The float32 of a float16's bits, exactly."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.zext(arguments[0], _I32)
        size = builder.and_(bits, _int(0x7FFF))
        normal = builder.add(builder.shl(size, _int(13)), _int(112 << 23))
        # Infinity and NaN: the largest exponent of float16 becomes the largest of float32.
        most = builder.add(normal, _int(112 << 23))
        normal = builder.select(builder.icmp_unsigned(">=", size, _int(0x7C00)), most, normal)
        units = builder.uitofp(size, _F32)  # a subnormal counts units of 2^-24
        small = builder.bitcast(builder.fmul(units, ir.Constant(_F32, 2.0**-24)), _I32)
        found = builder.select(builder.icmp_unsigned("<", size, _int(0x400)), small, normal)
        sign = builder.shl(builder.and_(bits, _int(0x8000)), _int(16))
        return builder.bitcast(builder.or_(found, sign), _F32)

    return types.float32(types.uint16), build


@intrinsic
def float32_of_bfloat16(typing: Any, bits: Any) -> Any:
    """The float32 of a bfloat16's bits, exactly."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = builder.shl(builder.zext(arguments[0], _I32), _int(16))
        return builder.bitcast(wide, _F32)

    return types.float32(types.uint16), build


def _round_off(builder: Any, size: Any, bits: int) -> Any:
    """An integer without its lowest bits, rounded to nearest, ties to even."""
    odd = builder.and_(builder.lshr(size, _int(bits)), _int(1))
    up = builder.add(odd, _int((1 << (bits - 1)) - 1))
    return builder.lshr(builder.add(size, up), _int(bits))


@intrinsic
def float16_of_float32(typing: Any, x: Any) -> Any:
    """The bits of the nearest float16, ties to even; infinity from 65520 on, NaN of NaN."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _I32)
        size = builder.and_(bits, _int(0x7FFFFFFF))
        found = builder.sub(_round_off(builder, size, 13), _int(112 << 10))
        # Adding 1/2 rounds to units of 2^-24, in which subnormal float16 are counted.
        moved = builder.fadd(builder.bitcast(size, _F32), ir.Constant(_F32, 0.5))
        small = builder.sub(builder.bitcast(moved, _I32), _int(0x3F000000))
        found = builder.select(builder.icmp_unsigned("<", size, _int(0x38800000)), small, found)
        big = builder.icmp_unsigned(">=", size, _int(0x477FF000))
        found = builder.select(big, _int(0x7C00), found)
        nan = builder.icmp_unsigned(">", size, _int(0x7F800000))
        found = builder.select(nan, _int(0x7E00), found)
        sign = builder.and_(builder.lshr(bits, _int(16)), _int(0x8000))
        return builder.trunc(builder.or_(found, sign), _I16)

    return types.uint16(types.float32), build


@intrinsic
def bfloat16_of_float32(typing: Any, x: Any) -> Any:
    """The bits of the nearest bfloat16, ties to even; infinity if none is near, NaN of NaN."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _I32)
        size = builder.and_(bits, _int(0x7FFFFFFF))
        nan = builder.icmp_unsigned(">", size, _int(0x7F800000))
        found = builder.select(nan, _int(0x7FC0), _round_off(builder, size, 16))
        sign = builder.and_(builder.lshr(bits, _int(16)), _int(0x8000))
        return builder.trunc(builder.or_(found, sign), _I16)

    return types.uint16(types.float32), build


@inlined()
def read(words: Any, code: int, first: int, count: int, out: Any) -> None:
    """Write halves `first` to `first + count` as float32."""
    halves = words[first : first + count]
    if code == FLOAT16:
        for j in range(count):
            out[j] = float32_of_float16(halves[j])
    else:
        for j in range(count):
            out[j] = float32_of_bfloat16(halves[j])


@inlined()
def write(found: Any, words: Any, code: int, first: int) -> int:
    """Round float32 to halves, from `first` on; `OVERFLOW` if any is infinite then, or NaN."""
    largest = np.uint16(0)
    halves = words[first : first + found.size]
    if code == FLOAT16:
        for j in range(found.size):
            halves[j] = float16_of_float32(found[j])
        infinite = _INFINITE_FLOAT16
    else:
        for j in range(found.size):
            halves[j] = bfloat16_of_float32(found[j])
        infinite = _INFINITE_BFLOAT16
    for j in range(found.size):
        size = np.uint16(halves[j] & _SIZE)
        largest = size if size > largest else largest
    return OVERFLOW if largest >= infinite else FINE
