"""Multiclass hinge of Crammer and Singer: two classes of a row have a gradient."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import compiled
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._rows import ZERO, all_finite, largest, position
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each."""
    return 1.0


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    return Work(_lead, ("logits",), ("logits",), "labels", (params.margin,))


bind = binder(work)


@compiled("int64(float32[:, ::1], int64[::1], float64, float32[:], float64[::1], float32[:, ::1])")
def _lead(logits: Any, labels: Any, margin: float, outer: Any, values: Any, gradient: Any) -> int:
    """Values max(0, margin + max wrong - z_y); gradients 1 at the first best wrong, -1 at y.

    Fused checks: NaN, infinities, labels.
    """
    classes = logits.shape[1]
    for i in range(logits.shape[0]):
        z, label = logits[i], labels[i]
        if not 0 <= label < classes or not all_finite(z):
            return SUSPECT
        if gradient.size:
            gradient[i] = ZERO
        values[i] = 0.0
        if classes == 1:
            continue
        before, after = z[:label], z[label + 1 :]
        wrong, at = largest(before), -1
        if label + 1 < classes and (label == 0 or largest(after) > wrong):
            wrong = largest(after)
            at = label + 1 + position(after, wrong)
        else:
            at = position(before, wrong)
        value = margin + np.float64(wrong) - np.float64(z[label])
        if value > 0.0:
            values[i] = value
            if gradient.size:
                weight = outer[min(i, outer.size - 1)]
                gradient[i, at] += weight
                gradient[i, label] -= weight
    return FINE
