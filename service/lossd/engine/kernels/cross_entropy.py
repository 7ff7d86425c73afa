"""Cross-entropy: log-sum-exp and softmax from one exponential per logit."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.engine.kernels._arrays import as_array
from lossd.engine.kernels._compile import compiled
from lossd.engine.kernels._float32 import exp_and_sum, largest, multiply, sum_of_exp
from lossd.engine.kernels._job import FINE, SUSPECT, Job, Rows
from lossd.schema import Call

_NOBODY_ASKED: NDArray[np.float64] = np.empty(0)
_NO_FLOATS: NDArray[np.float32] = np.empty((0, 0), np.float32)


def applies(call: Call) -> bool:
    """Labels, no options but `ignore_index`; float32 logits of one item per row."""
    params: Any = call.params
    return (
        "labels" in call.inputs
        and "class_weights" not in call.inputs
        and len(call.item_shape) == 1
        and not params.label_smoothing
        and call.inputs["logits"].dtype == torch.float32
        and call.options.gradient_dtype in (None, "float32")
    )


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each, 0 where ignored."""
    ignore_index = getattr(call.params, "ignore_index", None)
    if ignore_index is None:
        return 1.0
    counted: NDArray[np.float64] = (as_array(call.inputs["labels"]) != ignore_index).astype(
        np.float64
    )
    return counted


def bind(call: Call, job: Job) -> Rows:
    """Rows of a call."""
    ignore_index = getattr(call.params, "ignore_index", None)
    return partial(
        _rows,
        logits=as_array(call.inputs["logits"]),
        labels=call.inputs["labels"].numpy(),
        may_ignore=ignore_index is not None,
        ignore_index=ignore_index or 0,
        outer=job.outer[:, 0],
        sums=job.sums,
        gradient=job.gradients.get("logits", _NO_FLOATS),
        log_sum_exp=_NOBODY_ASKED if job.log_sum_exp is None else job.log_sum_exp,
        factors=_NOBODY_ASKED if job.factor is None else job.factor,
    )


def _rows(start: int, stop: int, **arrays: Any) -> int:
    return int(_labelled(start, stop, *arrays.values()))


@compiled(
    "int64(int64, int64, float32[:, ::1], int64[::1], boolean, int64, float32[:], float64[::1],"
    " float32[:, ::1], float64[::1], float64[::1])"
)
def _labelled(
    start: int,
    stop: int,
    logits: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    outer: Any,
    sums: Any,
    gradient: Any,
    log_sum_exp: Any,
    factors: Any,
) -> int:
    classes = logits.shape[1]
    found = FINE
    for i in range(start, stop):
        z, label = logits[i], labels[i]
        ignored = may_ignore and label == ignore_index
        most = largest(z)
        total = exp_and_sum(z, most, gradient[i]) if gradient.size else sum_of_exp(z, most)
        if not total < math.inf or not (ignored or (most > -math.inf and 0 <= label < classes)):
            return SUSPECT
        if ignored:
            sums[i] = 0.0
            if gradient.size:
                gradient[i] = 0
            if factors.size:
                factors[i] = log_sum_exp[i] = 0.0
            continue
        sums[i] = math.log(total) - (z[label] - most)
        factor = outer[min(i, outer.size - 1)]
        if factors.size:
            factors[i], log_sum_exp[i] = factor, most + math.log(total)
        if gradient.size:
            multiply(gradient[i], np.float32(factor / total))
            gradient[i, label] -= factor
    return found
