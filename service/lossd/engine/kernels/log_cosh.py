"""Log-cosh loss: one exponential per element."""

from typing import Any

import numpy as np

from lossd.compiled import EXACT, inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._formula import Formula, binder
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._formula import weigh as weigh
from lossd.engine.kernels._lanes import size_of, where
from lossd.engine.kernels._logistic import log1p_of_unit
from lossd.schema import Call

_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_LN2 = np.float32(0.6931471805599453)
# Minimax polynomials of u = d^2, by Remez exchange for the relative error; each coefficient was
# rounded to float32 before the next was fitted. log cosh d / u on [0, 1]: 7.6e-9.
_V1, _V2, _V3, _V4, _V5, _V6 = (
    np.float32(-0.0833330974),
    np.float32(0.0222174488),
    np.float32(-0.006713500246),
    np.float32(0.002082521329),
    np.float32(-0.0005604042672),
    np.float32(8.786553371e-5),
)
# tanh d / d on [0, 1/4]: 4e-10.
_S1, _S2, _S3, _S4, _S5 = (
    np.float32(-0.3333332837),
    np.float32(0.1333301067),
    np.float32(-0.05390406772),
    np.float32(0.02131904848),
    np.float32(-0.00667962851),
)


@inlined(EXACT)
def _near(size: Any) -> Any:
    """Value and slope where they are small: what `_far` subtracts would cancel."""
    u = size * size
    value = (((((_V6 * u + _V5) * u + _V4) * u + _V3) * u + _V2) * u + _V1) * u + _HALF
    slope = ((((_S5 * u + _S4) * u + _S3) * u + _S2) * u + _S1) * u
    return value * u, slope * size + size


@inlined(EXACT)
def _far(size: Any) -> Any:
    e = exp_of_negative(-_TWO * size)
    return size + (log1p_of_unit(e) - _LN2), (_ONE - e) / (_ONE + e)


@inlined()
def _of_elements(x: Any, y: Any, c: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    d = x - y
    size = size_of(d)
    near, far = _near(size), _far(size)
    value = where(size > _ONE, far[0], near[0])
    slope = where(size > _HALF, far[1], near[1])
    return value, where(d > _ZERO, slope, -slope)


_rows = compiled_rows("log_cosh", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    return Formula(_rows, "prediction", "target")


bind = binder(formula)
