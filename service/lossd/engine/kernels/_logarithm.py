"""The logarithm in float32, of lanes."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lossd.compiled import EXACT, inlined
from lossd.engine.kernels._lanes import BITS, LANES, VECTOR, WIDTH

_ROOT_OF_HALF = 0x3F3504F3  # its bits
_ONE, _HALF = np.float32(1), np.float32(0.5)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
# The minimax polynomial of (log(1 + f) - f + f^2 / 2) / f^3 where 1 + f is from sqrt(1/2) to
# sqrt(2), by Remez exchange: the relative error of the logarithm is 4e-8. Each coefficient was
# rounded to float32 before the next was fitted.
_C0, _C1, _C2, _C3, _C4 = (
    np.float32(0.3333333135),
    np.float32(-0.2499973774),
    np.float32(0.2000048608),
    np.float32(-0.1667537987),
    np.float32(0.1425066739),
)
_C5, _C6, _C7, _C8 = (
    np.float32(-0.1242796928),
    np.float32(0.1184521765),
    np.float32(-0.1083214656),
    np.float32(0.04974157363),
)


@intrinsic
def _split(typing: Any, x: Any) -> Any:
    """n and m of x = 2^n m, with m from sqrt(1/2) to sqrt(2), of normal positive lanes."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        bits, digits = builder.bitcast(arguments[0], BITS), ir.Constant(BITS, [23] * WIDTH)
        above = builder.sub(bits, ir.Constant(BITS, [_ROOT_OF_HALF] * WIDTH))
        n = builder.ashr(above, digits)
        m = builder.sub(bits, builder.shl(n, digits))
        parts = (builder.sitofp(n, VECTOR), builder.bitcast(m, VECTOR))
        return context.make_tuple(builder, sig.return_type, parts)

    return types.UniTuple(LANES, 2)(LANES), build


@inlined(EXACT)
def log_of_normal(x: Any) -> Any:
    """log x of normal positive lanes, within 2 units in the last place; garbage of others."""
    n, m = _split(x)
    f = m - _ONE
    p = (((_C8 * f + _C7) * f + _C6) * f + _C5) * f + _C4
    p = (((p * f + _C3) * f + _C2) * f + _C1) * f + _C0
    rest = p * (f * f * f) + n * _LN2_LOW
    return (rest - _HALF * (f * f)) + f + n * _LN2_HIGH


@inlined(EXACT)
def minus_log_of_rest(x: Any) -> Any:
    """-log(1 - x) for x from 0 to 1/2, within 3 units in the last place."""
    rest = _ONE - x
    lost = (_ONE - rest) - x  # what rounding took from the rest, exactly
    return -(log_of_normal(rest) + lost / rest)
