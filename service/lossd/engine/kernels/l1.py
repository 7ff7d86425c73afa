"""Absolute error."""

from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._formula import Formula, binder
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._formula import weigh as weigh
from lossd.engine.kernels._lanes import lanes_of, size_of, where
from lossd.schema import Call

_ONE, _ZERO = np.float32(1), np.float32(0)


@inlined()
def _of_elements(x: Any, y: Any, c: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    d = x - y
    return size_of(d), where(d > _ZERO, _ONE, where(d < _ZERO, -_ONE, lanes_of(_ZERO)))


_rows = compiled_rows("l1", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    return Formula(_rows, "prediction", "target")


bind = binder(formula)
