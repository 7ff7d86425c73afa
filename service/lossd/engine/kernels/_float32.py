"""float32 arithmetic that compiles to vector instructions."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lossd.compiled import EXACT, SUMS, inlined

_F32, _I32 = ir.FloatType(), ir.IntType(32)
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it leaves an integer in the lowest bits
_LOG2_E = np.float32(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOWEST = np.float32(-87.33654)  # e^x is no normal float32 below
# Coefficients of the minimax polynomial of (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2], from the
# Cephes library's expf.
_C5, _C4, _C3 = (
    np.float32(1.9875691500e-4),
    np.float32(1.3981999507e-3),
    np.float32(8.3334519073e-3),
)
_C2, _C1, _C0 = (
    np.float32(4.1665795894e-2),
    np.float32(1.6666665459e-1),
    np.float32(5.0000001201e-1),
)
_ONE, _ZERO = np.float32(1), np.float32(0)
PIECE = 2048  # terms that are added in float32 before the sum goes on in float64


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """The larger of two float32, in one instruction; either one where one is NaN."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_F32, [_F32, _F32])
        function = builder.module.declare_intrinsic("llvm.maxnum", [_F32], kind)
        return builder.call(function, arguments, fastmath=["nnan", "nsz"])

    return types.float32(types.float32, types.float32), build


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
    """e^x for x <= 0, within 1 unit in the last place; 0 below -87.34, NaN of NaN."""
    rounded = x * _LOG2_E + _ROUND
    n = rounded - _ROUND
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = ((((_C5 * r + _C4) * r + _C3) * r + _C2) * r + _C1) * r + _C0
    y = p * (r * r) + r + _ONE
    y = y * _power_of_two(rounded)
    return _ZERO if x < _LOWEST else y


@inlined(SUMS)
def largest(x: Any) -> np.float32:
    """The largest of a row; NaNs are passed over."""
    found = np.float32(-np.inf)
    for j in range(x.size):
        found = larger(found, x[j])
    return found


@inlined(SUMS)
def _exp_and_sum_of_piece(x: Any, most: np.float32, out: Any) -> np.float32:
    total = _ZERO
    for j in range(x.size):
        y = exp_of_negative(x[j] - most)
        out[j] = y
        total += y
    return total


@inlined(SUMS)
def _sum_of_exp_of_piece(x: Any, most: np.float32) -> np.float32:
    total = _ZERO
    for j in range(x.size):
        total += exp_of_negative(x[j] - most)
    return total


@inlined(EXACT)
def exp_and_sum(x: Any, most: np.float32, out: Any) -> float:
    """Write e^(x - most) and return its sum in float64."""
    total = 0.0
    for start in range(0, x.size, PIECE):
        total += _exp_and_sum_of_piece(x[start : start + PIECE], most, out[start : start + PIECE])
    return total


@inlined(EXACT)
def sum_of_exp(x: Any, most: np.float32) -> float:
    """The sum of e^(x - most), in float64."""
    total = 0.0
    for start in range(0, x.size, PIECE):
        total += _sum_of_exp_of_piece(x[start : start + PIECE], most)
    return total


@inlined(SUMS)
def multiply(x: Any, factor: np.float32) -> None:
    """Multiply in place."""
    for j in range(x.size):
        x[j] *= factor
