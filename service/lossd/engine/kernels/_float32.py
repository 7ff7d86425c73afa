"""float32 arithmetic that compiles to vector instructions."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lossd.compiled import EXACT, inlined

_F32, _I32 = ir.FloatType(), ir.IntType(32)
ROUND = 12582912.0  # 1.5 * 2^23: adding it leaves an integer in the lowest bits
LOG2_E = 1.44269504088896341
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
LOWEST_EXPONENT = -87.33654  # e^x is no normal float32 below
# Coefficients of the minimax polynomial of (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2], from the
# Cephes library's expf, highest power first.
POLYNOMIAL = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
_ROUND, _LOG2_E, _LOWEST = np.float32(ROUND), np.float32(LOG2_E), np.float32(LOWEST_EXPONENT)
_LN2_HIGH, _LN2_LOW = np.float32(LN2_HIGH), np.float32(LN2_LOW)
_C5, _C4, _C3, _C2, _C1, _C0 = (np.float32(each) for each in POLYNOMIAL)
_ONE, _ZERO = np.float32(1), np.float32(0)


@intrinsic
def _power_of_two(typing: Any, rounded: Any) -> Any:
    """2^n, of n + 1.5 * 2^23; garbage where n is no exponent of a normal float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _I32)
        exponent = builder.shl(bits, ir.Constant(_I32, 23))
        return builder.bitcast(builder.add(exponent, ir.Constant(_I32, 127 << 23)), _F32)

    return types.float32(types.float32), build


@inlined(EXACT)
def exp_of_negative(x: np.float32) -> np.float32:
    """e^x for x <= 0, with a relative error below 8.5e-8; 0 below -87.34, NaN of NaN."""
    rounded = x * _LOG2_E + _ROUND
    n = rounded - _ROUND
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = ((((_C5 * r + _C4) * r + _C3) * r + _C2) * r + _C1) * r + _C0
    y = p * (r * r) + r + _ONE
    y = y * _power_of_two(rounded)
    return _ZERO if x < _LOWEST else y
