"""Smooth L1; absolute error where beta is 0."""

from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._formula import Formula, binder
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._formula import weigh as weigh
from lossd.engine.kernels._lanes import lanes_of, size_of, where
from lossd.schema import Call

_ONE, _ZERO, _HALF = np.float32(1), np.float32(0), np.float32(0.5)


@inlined()
def _of_elements(x: Any, y: Any, c: Any, beta: Any, k1: Any, k2: Any, k3: Any) -> Any:
    d = x - y
    size = size_of(d)
    is_square = size < beta
    square_part = where(is_square, size, beta)
    share = where(size > _ZERO, _ONE, lanes_of(_ZERO))
    share = where(is_square, square_part / beta, share)  # NaN where beta is 0, which nobody uses
    return share * (size - _HALF * square_part), where(d > _ZERO, share, -share)


_rows = compiled_rows("smooth_l1", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    params: Any = call.params
    return Formula(_rows, "prediction", "target", (params.beta,))


bind = binder(formula)
