"""The exponential in float32, of lanes that are not above 0."""

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from lossd.engine.kernels._lanes import BITS, LANES, VECTOR, WIDTH, constant, declared

_ROUND = 12582912.0  # 1.5 * 2^23: adding it leaves an integer in the lowest bits
_LOG2_E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_LOWEST = -87.33654  # e^x is no normal float32 below
# Coefficients of the minimax polynomial of (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2], from the
# Cephes library's expf, highest power first.
_POLYNOMIAL = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)


def _fused(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once where the machine can."""
    name = f"llvm.fmuladd.v{WIDTH}f32"
    return builder.call(declared(builder, name, VECTOR, [VECTOR] * 3), [x, y, z])


@intrinsic
def exp_of_negative(typing: Any, lanes: Any) -> Any:
    """e^x for x <= 0, with a relative error below 8.5e-8; 0 below -87.34, NaN of NaN."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        x = arguments[0]
        rounded = _fused(builder, x, constant(_LOG2_E), constant(_ROUND))
        n = builder.fsub(rounded, constant(_ROUND))
        r = _fused(builder, n, constant(-_LN2_HIGH), x)
        r = _fused(builder, n, constant(-_LN2_LOW), r)
        p = constant(_POLYNOMIAL[0])
        for coefficient in _POLYNOMIAL[1:]:
            p = _fused(builder, p, r, constant(coefficient))
        y = _fused(builder, p, builder.fmul(r, r), r)
        y = builder.fadd(y, constant(1.0))
        twos = builder.shl(builder.bitcast(rounded, BITS), ir.Constant(BITS, [23] * WIDTH))
        twos = builder.add(twos, ir.Constant(BITS, [127 << 23] * WIDTH))
        y = builder.fmul(y, builder.bitcast(twos, VECTOR))
        return builder.select(builder.fcmp_ordered("<", x, constant(_LOWEST)), constant(0.0), y)

    return LANES(LANES), build
