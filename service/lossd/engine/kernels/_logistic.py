"""The logistic function and its logarithm in float32 lanes, without cancellation anywhere."""

from typing import Any

import numpy as np

from lossd.compiled import EXACT, inlined
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._lanes import lanes_of, larger, size_of, where

_ONE, _ZERO = np.float32(1), np.float32(0)
# The minimax polynomial of log(1 + e) / e on [0, 1], by Remez exchange: its relative error is
# 3.5e-9. Each coefficient was rounded to float32 before the next was fitted.
_C1, _C2, _C3, _C4, _C5 = (
    np.float32(-0.4999999404),
    np.float32(0.3333289623),
    np.float32(-0.2499094903),
    np.float32(0.1991193444),
    np.float32(-0.1617759466),
)
_C6, _C7, _C8, _C9, _C10 = (
    np.float32(0.1256969422),
    np.float32(-0.0844373256),
    np.float32(0.04308533296),
    np.float32(-0.01412977558),
    np.float32(0.002169079613),
)


@inlined(EXACT)
def log1p_of_unit(e: Any) -> Any:
    """log(1 + e) for e from 0 to 1, within 2 units in the last place."""
    p = ((((_C10 * e + _C9) * e + _C8) * e + _C7) * e + _C6) * e + _C5
    p = (((((p * e + _C4) * e + _C3) * e + _C2) * e + _C1) * e) + _ONE
    return e * p


@inlined(EXACT)
def logistic(z: Any) -> Any:
    """log(1 + e^z), log(1 + e^-z), 1 / (1 + e^-z) and 1 / (1 + e^z) of a finite z.

    Within a few units in the last place each, but 0 where that is below about 1e-38.
    """
    size = size_of(z)
    e = exp_of_negative(-size)
    small = log1p_of_unit(e)
    large = size + small
    divisor = _ONE + e
    likely = _ONE / divisor
    likely = likely + likely * likely * ((divisor - _ONE) - e)  # what rounding gave the divisor
    unlikely = e * likely
    is_positive = z > _ZERO
    return (
        where(is_positive, large, small),
        where(is_positive, small, large),
        where(is_positive, likely, unlikely),
        where(is_positive, unlikely, likely),
    )


@inlined(EXACT)
def softpluses(z: Any) -> Any:
    """log(1 + e^z) and 1 / (1 + e^-z) of lanes that may be -inf; the first is NaN where z is.

    Within a few units in the last place each, but 0 where that is below about 1e-38.
    """
    zero = lanes_of(_ZERO)
    is_positive = z > zero
    e = exp_of_negative(where(is_positive, zero - z, z))
    likely = _ONE / (_ONE + e)
    return larger(zero, z) + log1p_of_unit(e), where(is_positive, likely, e * likely)
