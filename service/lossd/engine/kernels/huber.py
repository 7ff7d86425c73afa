"""Huber loss."""

from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._formula import Formula, binder
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._formula import weigh as weigh
from lossd.engine.kernels._lanes import size_of, where
from lossd.schema import Call

_ZERO, _HALF = np.float32(0), np.float32(0.5)


@inlined()
def _of_elements(x: Any, y: Any, c: Any, delta: Any, k1: Any, k2: Any, k3: Any) -> Any:
    d = x - y
    size = size_of(d)
    square_part = where(size < delta, size, delta)
    value = square_part * (size - _HALF * square_part)
    return value, where(d > _ZERO, square_part, -square_part)


_rows = compiled_rows("huber", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    params: Any = call.params
    return Formula(_rows, "prediction", "target", (params.delta,))


bind = binder(formula)
