"""Negative log-likelihood: one number of a row, and a gradient of nothing else."""

from typing import Any

import numpy as np

from lossd.compiled import compiled
from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._rows import LOWEST, ZERO, largest_or_nan
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


weigh = _weights.by_class


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    weights = _weights.of_classes(call, "class_weights")
    if not _weights.are_sound(weights):
        return _weights.REFUSED
    may_ignore = params.ignore_index is not None
    constants = (may_ignore, params.ignore_index if may_ignore else 0, weights)
    of = ("log_probabilities",)
    return Work(_picked, of, of, "labels", constants)


bind = binder(work)


@compiled(
    "int64(float32[:, ::1], int64[::1], boolean, int64, float32[::1], float32[:], float64[::1],"
    " float32[:, ::1])"
)
def _picked(
    log_p: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    weights: Any,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values -w_y log p_y; gradients -w_y at y.

    Fused checks: NaN, log-probabilities above 0, rows without a possible class, labels.
    """
    classes = log_p.shape[1]
    for i in range(log_p.shape[0]):
        z, label = log_p[i], labels[i]
        ignored = may_ignore and label == ignore_index
        if not ignored and not 0 <= label < classes:
            return SUSPECT
        if not LOWEST < largest_or_nan(z, gradient[i] if gradient.size else z[:0]) <= ZERO:
            return SUSPECT
        values[i] = 0.0
        weight = np.float64(weights[label]) if weights.size and not ignored else 1.0
        if not ignored and weight != 0.0:
            values[i] = -weight * np.float64(z[label])
            if gradient.size:
                gradient[i, label] = -weight * outer[min(i, outer.size - 1)]
    return FINE
