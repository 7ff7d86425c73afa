"""Asymmetric loss: three exponentials per element, and three logarithms with a clip."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._formula import Formula, binder
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._lanes import where
from lossd.engine.kernels._logarithm import log_of_normal, minus_log_of_rest
from lossd.engine.kernels._logistic import logistic
from lossd.schema import Call

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_SMALLEST = np.finfo(np.float32).tiny


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each, or what makes 1 per row."""
    params: Any = call.params
    return 1.0 / math.prod(call.item_shape[1:]) if params.denominator == "rows" else 1.0


@inlined()
def _clipped(p: Any, q: Any, gamma: Any, clip: Any) -> Any:
    """p_m^gamma and -log(1 - p_m) of p_m = p - clip, and 0 where that is not above 0."""
    shifted = p - clip
    paid = shifted > _ZERO
    shifted = where(shifted > _SMALLEST, shifted, _SMALLEST)
    factor = exp_of_negative(gamma * log_of_normal(shifted))
    is_low = shifted < _HALF
    low = minus_log_of_rest(where(is_low, shifted, _HALF))
    rest = q + clip  # 1 - p_m, which keeps its digits where p_m rounds to 1
    rest = where(rest > _SMALLEST, rest, _SMALLEST)
    miss = where(is_low, low, -log_of_normal(rest))
    return where(paid, factor, _ZERO), miss, shifted, rest


@inlined()
def _of_elements(
    z: Any, t: Any, c: Any, gamma_positive: Any, gamma_negative: Any, clip: Any, full: Any
) -> Any:
    miss_negative, miss_positive, p, q = logistic(z)
    positive = t * exp_of_negative(-gamma_positive * miss_negative)
    slope_positive = q + full * gamma_positive * p * miss_positive
    if clip == _ZERO:
        negative = exp_of_negative(-gamma_negative * miss_positive)
        slope_negative = p + full * gamma_negative * q * miss_negative
    else:
        negative, miss_negative, shifted, rest = _clipped(p, q, gamma_negative, clip)
        modulation = full * gamma_negative * (miss_negative / shifted)
        slope_negative = (modulation + _ONE / rest) * (p * q)
    negative = (_ONE - t) * negative
    return (
        positive * miss_positive + negative * miss_negative,
        negative * slope_negative - positive * slope_positive,
    )


_rows = compiled_rows("asymmetric", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    params: Any = call.params
    full = 1.0 if params.modulation_gradient == "full" else 0.0
    constants = (params.gamma_positive, params.gamma_negative, params.clip, full)
    return Formula(_rows, "logits", "targets", constants, shares=True)


bind = binder(formula)
