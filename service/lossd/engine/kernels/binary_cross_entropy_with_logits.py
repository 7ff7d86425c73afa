"""Binary cross-entropy on logits: one exponential per element."""

import math
from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._formula import Formula, binder, refused, weights_of
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._formula import weigh as weigh
from lossd.engine.kernels._logistic import logistic
from lossd.schema import Call

_ONE = np.float32(1)


@inlined()
def _of_elements(z: Any, t: Any, pos_weight: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    miss_negative, miss_positive, p, q = logistic(z)
    positive, negative = t * pos_weight, _ONE - t
    return positive * miss_positive + negative * miss_negative, negative * p - positive * q


_rows = compiled_rows("binary_cross_entropy_with_logits", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    rows, weights = _rows, None
    if "pos_weight" in call.inputs:
        row = call.inputs["pos_weight"]
        weights = weights_of(row, math.prod(call.item_shape[1:]))
        if not bool(((row >= 0) & row.isfinite()).all()):
            rows = refused
    return Formula(rows, "logits", "targets", weights=weights, shares=True)


bind = binder(formula)
