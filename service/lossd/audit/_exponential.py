"""e^x in float64, in a form that compiles to vector instructions."""

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lossd.compiled import inlined

_F64, _I64 = ir.DoubleType(), ir.IntType(64)
_ROUND = 1.5 * 2.0**52  # adding it leaves an integer in the lowest bits
_LOG2_E = 1 / math.log(2)
_LN2_HIGH = 0xB17217F7 / 2**32  # 32 bits of ln 2, so that its multiples are exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")  # the rest
_LOWEST = -708.0  # e^x is soon no normal float64 below
_C13, _C12, _C11, _C10, _C9, _C8, _C7, _C6, _C5, _C4, _C3 = (
    1 / math.factorial(k) for k in range(13, 2, -1)
)


@intrinsic
def _power_of_two(typing: Any, rounded: Any) -> Any:
    """2^n, of n + `_ROUND`; garbage where n is no exponent of a normal float64."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _I64)
        exponent = builder.shl(bits, ir.Constant(_I64, 52))
        return builder.bitcast(builder.add(exponent, ir.Constant(_I64, 1023 << 52)), _F64)

    return types.float64(types.float64), build


@inlined()
def exp_of_negative(x: float) -> float:
    """e^x for x up to 0, or little above, within 2 units of its last digit; 0 below -708."""
    rounded = x * _LOG2_E + _ROUND
    n = rounded - _ROUND
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = ((((_C13 * r + _C12) * r + _C11) * r + _C10) * r + _C9) * r + _C8
    p = ((((p * r + _C7) * r + _C6) * r + _C5) * r + _C4) * r + _C3
    y = ((p * r + 0.5) * (r * r) + r) + 1.0
    y = y * _power_of_two(rounded)
    return 0.0 if x < _LOWEST else y
