"""Margin-based label smoothing: cross-entropy and its penalty in one pass."""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, compiled
from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import is_lane, lanes_of, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import LOWEST, ONE, PIECE, ZERO, largest, log_of_total, position
from lossd.schema import Call

_LARGEST = float(np.finfo(np.float32).max)


def applies(call: Call) -> bool:
    """Every call; a penalty beyond float32 is left to the plain function."""
    return True


weigh = _weights.by_label


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    may_ignore = params.ignore_index is not None
    classes = call.inputs["logits"].shape[1]
    coefficient = params.coefficient / classes if params.divide_by_classes else params.coefficient
    margin = min(params.margin, _LARGEST)
    constants = (may_ignore, params.ignore_index if may_ignore else 0, margin, coefficient)
    return Work(_kept_near, ("logits",), ("logits",), "labels", constants)


bind = binder(work)


@called()
def _sums(
    z: Any, most: np.float32, margin: np.float32, without: int, out: Any
) -> tuple[float, float, float]:
    """The sum of e^(z - most) but for one class, that of what is beyond the margin, and its count.

    The exponentials are written to `out`, unless it is empty; all of them.
    """
    total, beyond, count = 0.0, 0.0, 0.0
    nothing, one = lanes_of(ZERO), lanes_of(ONE)
    tops, margins = lanes_of(most), lanes_of(margin)
    for start in range(0, z.size, PIECE):
        piece, far, many = nothing, nothing, nothing
        for j in range(start, min(start + PIECE, z.size), 16):
            e = exp_of_negative(load(z, j, LOWEST) - tops)
            if out.size:
                store(out, j, e)
            piece = piece + where(is_lane(without - j), nothing, e)
            excess = (tops - load(z, j, most)) - margins
            far = far + where(excess > nothing, excess, nothing)
            many = many + where(excess > nothing, one, nothing)
        total += sum_of(piece)
        beyond += sum_of(far)
        count += sum_of(many)
    return total, beyond, count


@called()
def _pull(z: Any, most: np.float32, margin: np.float32, factor: float, push: float, g: Any) -> None:
    """Turn exponentials into gradients: times a factor, less what is for a class that is far."""
    nothing, tops, margins = lanes_of(ZERO), lanes_of(most), lanes_of(margin)
    factors, pushes = lanes_of(np.float32(factor)), lanes_of(np.float32(push))
    for j in range(0, z.size, 16):
        excess = (tops - load(z, j, most)) - margins
        pushed = where(excess > nothing, pushes, nothing)
        store(g, j, load(g, j, ZERO) * factors - pushed)


@compiled(
    "int64(float32[:, ::1], int64[::1], boolean, int64, float64, float64, float32[:],"
    " float64[::1], float32[:, ::1])"
)
def _kept_near(
    logits: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    margin: float,
    coefficient: float,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values -log p_y + coefficient sum max(0, max z - z_k - margin).

    Gradients p - onehot(y), less the coefficient where a class is beyond the margin, which the
    first of the largest gets. Fused checks: logits that are not finite, labels.
    """
    classes, near = logits.shape[1], np.float32(margin)
    for i in range(logits.shape[0]):
        z, label = logits[i], labels[i]
        ignored = may_ignore and label == ignore_index
        if ignored:
            label = -1
        elif not 0 <= label < classes:
            return SUSPECT
        most = largest(z)
        g = gradient[i] if gradient.size else z[:0]
        rest, beyond, count = _sums(z, most, near, label, g)
        penalty = coefficient * beyond
        if not (rest < math.inf and beyond < math.inf and penalty < _LARGEST):
            return SUSPECT
        if ignored:
            values[i] = 0.0
            if gradient.size:
                gradient[i] = ZERO
            continue
        lead = np.float64(most) - np.float64(z[label])
        own = math.exp(-lead)
        total = rest + own
        if not total < math.inf:
            return SUSPECT
        values[i] = penalty + (lead + log_of_total(rest, own, lead))
        if not gradient.size:
            continue
        weight = np.float64(outer[min(i, outer.size - 1)])
        factor, push = weight / total, weight * coefficient
        _pull(z, most, near, factor, push, g)
        g[label] = -factor * rest - (push if (most - z[label]) - near > ZERO else 0.0)
        if count > 0.0:
            at = position(z, most)
            if at < 0:  # they changed meanwhile
                return SUSPECT
            g[at] = push * count - factor * (rest if at == label else -1.0)
    return FINE
