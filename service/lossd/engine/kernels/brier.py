"""Brier score of logits or probabilities: squared distances, and their pull through a softmax."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import called, compiled, inlined
from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import is_lane, lanes_of, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import (
    ONE,
    PIECE,
    ZERO,
    distribution_is_sound,
    exp_and_sum,
    largest,
    position,
)
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each."""
    return 1.0


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    inputs = call.inputs
    params: Any = call.params
    source = "logits" if "logits" in inputs else "probabilities"
    tolerances = [
        _weights.tolerance_of(call, key) if key in inputs else math.inf
        for key in ("probabilities", "target_probabilities")
    ]
    constants = (source == "logits", *tolerances, 0.5 if params.scale_by_half else 1.0)
    return Work(score, (source, "target_probabilities"), (source,), "labels", constants)


bind = binder(work)


@inlined()
def _gaps(e: Any, t: Any, label: int, inverse: np.float32, j: int) -> Any:
    """Sixteen p - t; one-hot t where there is a label."""
    p = load(e, j, ZERO) * lanes_of(inverse)
    if t.size:
        return p - load(t, j, ZERO)
    return p - where(is_lane(label - j), lanes_of(ONE), lanes_of(ZERO))


@called()
def _sums(e: Any, t: Any, label: int, total: float, without: int) -> tuple[float, float]:
    """The sums of (p - t)^2 and of p (p - t), p = e / total; both but for one class."""
    squares, products = 0.0, 0.0
    nothing, inverse = lanes_of(ZERO), np.float32(1.0 / total)
    for start in range(0, e.size, PIECE):
        of_squares, of_products = nothing, nothing
        for j in range(start, min(start + PIECE, e.size), 16):
            gap = _gaps(e, t, label, inverse, j)
            gap = where(is_lane(without - j), nothing, gap)
            of_squares = of_squares + gap * gap
            of_products = of_products + gap * load(e, j, ZERO)
        squares += sum_of(of_squares)
        products += sum_of(of_products)
    return squares, products / total


@called()
def _pull(
    e: Any, t: Any, label: int, total: float, center: float, factor: float, is_logits: bool, g: Any
) -> None:
    """Write factor p (p - t - center), or without the p if these are probabilities."""
    inverse = np.float32(1.0 / total)
    centers, factors = lanes_of(np.float32(center)), lanes_of(np.float32(factor / total))
    for j in range(0, e.size, 16):
        gap = _gaps(e, t, label, inverse, j) - centers
        if is_logits:
            gap = gap * load(e, j, ZERO)
        store(g, j, gap * factors)


@compiled(
    "int64(float32[:, ::1], float32[:, ::1], int64[::1], boolean, float64, float64, float64,"
    " float32[:], float64[::1], float32[:, ::1])"
)
def score(
    predicted: Any,
    targets: Any,
    labels: Any,
    is_logits: bool,
    tolerance: float,
    tolerance_of_targets: float,
    share: float,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values share sum (p - t)^2; gradients 2 share (p - t), through the softmax of logits.

    Of logits the largest class is kept out of the sums: there p - 1 is minus the others' sum.
    Fused checks: NaN, +inf, rows without a possible class, distributions, labels.
    """
    classes = predicted.shape[1]
    scratch = np.empty(classes if is_logits else 0, np.float32)
    for i in range(predicted.shape[0]):
        z, label = predicted[i], -1
        if labels.size:
            label = labels[i]
            if not 0 <= label < classes:
                return SUSPECT
        t = targets[i] if targets.size else z[:0]
        if targets.size and not distribution_is_sound(t, tolerance_of_targets):
            return SUSPECT
        factor = 2.0 * share * np.float64(outer[min(i, outer.size - 1)])
        if not is_logits:
            if not distribution_is_sound(z, tolerance):
                return SUSPECT
            values[i] = share * _sums(z, t, label, 1.0, -1)[0]
            if gradient.size:
                _pull(z, t, label, 1.0, 0.0, factor, False, gradient[i])
            continue
        most = largest(z)
        best = position(z, most)
        rest = exp_and_sum(z, most, best, scratch)
        if best < 0 or not rest < math.inf or not most < math.inf:
            return SUSPECT
        total = 1.0 + rest
        squares, products = _sums(scratch, t, label, total, best)
        target = np.float64(t[best]) if t.size else (1.0 if label == best else 0.0)
        gap, miss = (1.0 - target) - rest / total, rest / total
        values[i] = share * (squares + gap * gap)
        if gradient.size:
            center = products + gap / total
            _pull(scratch, t, label, total, center, factor, True, gradient[i])
            gradient[i, best] = factor * (gap * miss - products) / total
    return FINE
