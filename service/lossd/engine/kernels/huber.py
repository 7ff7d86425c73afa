"""Huber loss."""

from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import AS_WRITTEN, bind_pairs, compiled_rows
from lossd.engine.kernels._elementwise import applies as applies
from lossd.engine.kernels._elementwise import weigh as weigh
from lossd.engine.kernels._job import Job, Rows
from lossd.schema import Call

_ZERO, _HALF = np.float32(0), np.float32(0.5)


@inlined(AS_WRITTEN)
def _of_element(x: Any, y: Any, c: Any, delta: Any, k1: Any, k2: Any, k3: Any) -> Any:
    d = x - y
    size = abs(d)
    square_part = size if size < delta else delta
    return square_part * (size - _HALF * square_part), square_part if d > _ZERO else -square_part


_rows = compiled_rows("huber", _of_element)


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    params: Any = call.params
    return bind_pairs(_rows, call, job, "prediction", "target", constants=(params.delta,))
