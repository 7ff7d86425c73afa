"""Exponentials of what is not above 0, and logarithms: in float64, as vector instructions."""

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lossd.compiled import inlined

_F64, _I64 = ir.DoubleType(), ir.IntType(64)
_ROUND = 1.5 * 2.0**52  # adding it leaves an integer in the lowest bits
_LOG2_E = 1.4426950408889634
# ln 2 in two parts, of which the first times any exponent is exact.
LN2_HIGH = float.fromhex("0x1.62e42fefa3800p-1")
LN2_LOW = float.fromhex("0x1.ef35793c76730p-45")
LOWEST = -708.0  # e^x is a normal number from here on
# Of the series of (e^r - 1 - r) / r^2: with |r| up to ln 2 / 2 the next term is below 2^-57 of e^r.
_E0, _E1, _E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11 = (
    1 / math.factorial(i) for i in range(2, 14)
)
SMALLEST_NORMAL = 2.0**-1022
_BITS_OF_ROOT = 0x3FE6A09E667F3BCD  # of the square root of 1/2
# Of the series of log((1 + s) / (1 - s)) / s - 2 by s^2: with |s| up to 0.172 the next term is
# below 2^-57 of it.
_L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9, _L10 = (2 / (2 * i + 1) for i in range(1, 11))


@intrinsic
def _power_of_two(typing: Any, rounded: Any) -> Any:
    """2^n, of n + 1.5 * 2^52; garbage where n is no exponent of a normal float64."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _I64)
        exponent = builder.shl(bits, ir.Constant(_I64, 52))
        return builder.bitcast(builder.add(exponent, ir.Constant(_I64, 1023 << 52)), _F64)

    return types.float64(types.float64), build


@inlined()
def exp_of_negative(x: float) -> float:
    """e^x for x <= 0, off by less than one unit in the last place; 0 below -708."""
    within = x if x > LOWEST else LOWEST
    rounded = within * _LOG2_E + _ROUND
    n = rounded - _ROUND
    r = (within - n * LN2_HIGH) - n * LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (_E0 + _E1 * r) + (_E2 + _E3 * r) * r2
    middle = (_E4 + _E5 * r) + (_E6 + _E7 * r) * r2
    high = (_E8 + _E9 * r) + (_E10 + _E11 * r) * r2
    y = 1.0 + (r + r2 * (low + (middle + high * r4) * r4))
    return y * _power_of_two(rounded) if x >= LOWEST else 0.0


def _exponent(builder: Any, bits: Any) -> Any:
    """The n of a number of some bits that is from sqrt(1/2) * 2^n to sqrt(2) * 2^n."""
    above = builder.sub(bits, ir.Constant(_I64, _BITS_OF_ROOT))
    return builder.ashr(above, ir.Constant(_I64, 52))


@intrinsic
def _exponent_of(typing: Any, x: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.sitofp(_exponent(builder, builder.bitcast(arguments[0], _I64)), _F64)

    return types.float64(types.float64), build


@intrinsic
def _mantissa_of(typing: Any, x: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _I64)
        exponent = builder.shl(_exponent(builder, bits), ir.Constant(_I64, 52))
        return builder.bitcast(builder.sub(bits, exponent), _F64)

    return types.float64(types.float64), build


@inlined()
def log(x: float) -> float:
    """log x of a normal number, off by less than two units in the last place."""
    n, m = _exponent_of(x), _mantissa_of(x)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    z2 = z * z
    z4 = z2 * z2
    low = (_L1 + _L2 * z) + (_L3 + _L4 * z) * z2
    high = (_L5 + _L6 * z) + (_L7 + _L8 * z) * z2 + (_L9 + _L10 * z) * z4
    found: float = n * LN2_HIGH + (2.0 * s + (s * (z * (low + high * z4)) + n * LN2_LOW))
    return found


@inlined()
def log_1p(x: float) -> float:
    """log(1 + x) for x >= 0, off by less than three units in the last place."""
    above = 1.0 + x
    found: float = log(above) + (x - (above - 1.0)) / above
    return found
