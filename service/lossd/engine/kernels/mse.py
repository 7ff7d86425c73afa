"""Squared error."""

from typing import Any

from lossd.compiled import inlined
from lossd.engine.kernels._elementwise import AS_WRITTEN, bind_pairs, compiled_rows
from lossd.engine.kernels._elementwise import applies as applies
from lossd.engine.kernels._elementwise import weigh as weigh
from lossd.engine.kernels._job import Job, Rows
from lossd.schema import Call


@inlined(AS_WRITTEN)
def _of_element(x: Any, y: Any, c: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    d = x - y
    return d * d, d + d


_rows = compiled_rows("mse", _of_element)


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    return bind_pairs(_rows, call, job, "prediction", "target")
