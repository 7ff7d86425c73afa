"""Squared hinge loss."""

from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._formula import Formula, binder
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._formula import weigh as weigh
from lossd.engine.kernels._lanes import where
from lossd.schema import Call

_ZERO = np.float32(0)


@inlined()
def _of_elements(x: Any, y: Any, c: Any, margin: Any, k1: Any, k2: Any, k3: Any) -> Any:
    missing = margin - y * x
    missing = where(missing > _ZERO, missing, _ZERO)
    return missing * missing, -y * (missing + missing)


_rows = compiled_rows("squared_hinge", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    params: Any = call.params
    return Formula(_rows, "scores", "labels", (params.margin,))


bind = binder(formula)
