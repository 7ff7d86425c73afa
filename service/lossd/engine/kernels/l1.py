"""Absolute error."""

from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import AS_WRITTEN, bind_pairs, compiled_rows
from lossd.engine.kernels._elementwise import applies as applies
from lossd.engine.kernels._elementwise import weigh as weigh
from lossd.engine.kernels._job import Job, Rows
from lossd.schema import Call

_ONE, _ZERO = np.float32(1), np.float32(0)


@inlined(AS_WRITTEN)
def _of_element(x: Any, y: Any, c: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    d = x - y
    return abs(d), _ONE if d > _ZERO else (-_ONE if d < _ZERO else _ZERO)


_rows = compiled_rows("l1", _of_element)


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    return bind_pairs(_rows, call, job, "prediction", "target")
