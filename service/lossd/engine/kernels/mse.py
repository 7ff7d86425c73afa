"""Squared error."""

from typing import Any

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import compiled_rows
from lossd.engine.kernels._formula import Formula, binder
from lossd.engine.kernels._formula import applies as applies
from lossd.engine.kernels._formula import weigh as weigh
from lossd.schema import Call


@inlined()
def _of_elements(x: Any, y: Any, c: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    d = x - y
    return d * d, d + d


_rows = compiled_rows("mse", _of_elements)


def formula(call: Call) -> Formula:
    """What computes the rows of a call."""
    return Formula(_rows, "prediction", "target")


bind = binder(formula)
