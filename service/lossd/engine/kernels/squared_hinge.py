"""Squared hinge loss."""

from typing import Any

import numpy as np

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import AS_WRITTEN, bind_pairs, compiled_rows
from lossd.engine.kernels._elementwise import applies as applies
from lossd.engine.kernels._elementwise import weigh as weigh
from lossd.engine.kernels._job import Job, Rows
from lossd.schema import Call

_ZERO = np.float32(0)


@inlined(AS_WRITTEN)
def _of_element(x: Any, y: Any, c: Any, margin: Any, k1: Any, k2: Any, k3: Any) -> Any:
    missing = margin - y * x
    missing = missing if missing > _ZERO else _ZERO
    return missing * missing, -y * (missing + missing)


_rows = compiled_rows("squared_hinge", _of_element)


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    params: Any = call.params
    return bind_pairs(_rows, call, job, "scores", "labels", constants=(params.margin,))
