"""Asymmetric loss: three exponentials per element, and three logarithms with a clip."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import AS_WRITTEN, bind_pairs, compiled_rows
from lossd.engine.kernels._elementwise import applies as applies
from lossd.engine.kernels._float32 import exp_of_negative
from lossd.engine.kernels._job import Job, Rows
from lossd.engine.kernels._logarithm import log_of_normal, minus_log_of_rest
from lossd.engine.kernels._logistic import logistic
from lossd.schema import Call

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_SMALLEST = np.finfo(np.float32).tiny


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each, or what makes 1 per row."""
    params: Any = call.params
    return 1.0 / math.prod(call.item_shape[1:]) if params.denominator == "rows" else 1.0


@inlined(AS_WRITTEN)
def _clipped(p: Any, q: Any, gamma: Any, clip: Any) -> Any:
    """p_m^gamma and -log(1 - p_m) of p_m = p - clip, and 0 where that is not above 0."""
    shifted = p - clip
    paid = shifted > _ZERO
    shifted = shifted if shifted > _SMALLEST else _SMALLEST
    factor = exp_of_negative(gamma * log_of_normal(shifted))
    low = minus_log_of_rest(shifted if shifted < _HALF else _HALF)
    rest = q + clip  # 1 - p_m, which keeps its digits where p_m rounds to 1
    rest = rest if rest > _SMALLEST else _SMALLEST
    miss = low if shifted < _HALF else -log_of_normal(rest)
    return factor if paid else _ZERO, miss, shifted, rest


@inlined(AS_WRITTEN)
def _of_element(
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


_rows = compiled_rows("asymmetric", _of_element)


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    params: Any = call.params
    full = 1.0 if params.modulation_gradient == "full" else 0.0
    constants = (params.gamma_positive, params.gamma_negative, params.clip, full)
    return bind_pairs(_rows, call, job, "logits", "targets", constants=constants, shares=True)
