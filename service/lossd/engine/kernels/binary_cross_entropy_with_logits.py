"""Binary cross-entropy on logits: one exponential per element."""

import math
from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import (
    AS_WRITTEN,
    NO_WEIGHTS,
    bind_pairs,
    compiled_rows,
    weights_of,
)
from lossd.engine.kernels._elementwise import applies as applies
from lossd.engine.kernels._elementwise import weigh as weigh
from lossd.engine.kernels._job import SUSPECT, Job, Rows
from lossd.engine.kernels._logistic import logistic
from lossd.schema import Call

_ONE = np.float32(1)


@inlined(AS_WRITTEN)
def _of_element(z: Any, t: Any, pos_weight: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    miss_negative, miss_positive, p, q = logistic(z)
    positive, negative = t * pos_weight, _ONE - t
    return positive * miss_positive + negative * miss_negative, negative * p - positive * q


_rows = compiled_rows("binary_cross_entropy_with_logits", _of_element)


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    weights = NO_WEIGHTS
    if "pos_weight" in call.inputs:
        row = call.inputs["pos_weight"]
        if not bool(((row >= 0) & row.isfinite()).all()):
            return lambda start, stop: SUSPECT
        weights = weights_of(row, math.prod(call.item_shape[1:]))
    return bind_pairs(_rows, call, job, "logits", "targets", weights=weights, shares=True)
