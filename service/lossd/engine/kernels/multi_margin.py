"""Multiclass hinge of Weston and Watkins: every wrong class in one pass."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import called, compiled
from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import is_lane, lanes_of, larger, plus_float64, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import ONE, PIECE, ZERO, all_finite
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each, also under class weights."""
    return 1.0


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    inputs = call.inputs
    weights = _weights.of_classes(call, "class_weights")
    if not _weights.are_sound(weights):
        return _weights.REFUSED
    classes = inputs["logits"].shape[1]
    share = 1.0 / classes if params.divide_by_classes else 1.0
    constants = (weights, params.margin, params.p == 2, share)
    return Work(_violations, ("logits",), ("logits",), "labels", constants)


bind = binder(work)


@called()
def _sums(z: Any, base: float, label: int, is_squared: bool) -> tuple[float, float]:
    """The sum of the violations or their squares, and of their derivatives."""
    total, slopes = 0.0, 0.0
    nothing, one = lanes_of(ZERO), lanes_of(ONE)
    for start in range(0, z.size, PIECE):
        of_values, of_slopes = nothing, nothing
        for j in range(start, min(start + PIECE, z.size), 16):
            lead = larger(nothing, plus_float64(load(z, j, -np.float32(math.inf)), base))
            lead = where(is_lane(label - j), nothing, lead)
            of_values = of_values + (lead * lead if is_squared else lead)
            slope = lead + lead if is_squared else where(lead > nothing, one, nothing)
            of_slopes = of_slopes + slope
        total += sum_of(of_values)
        slopes += sum_of(of_slopes)
    return total, slopes


@called()
def _pull(z: Any, base: float, is_squared: bool, factor: float, g: Any) -> None:
    """Write the factor times the derivatives."""
    nothing, once = lanes_of(ZERO), lanes_of(np.float32(factor))
    twice = lanes_of(np.float32(2.0 * factor))
    for j in range(0, z.size, 16):
        lead = plus_float64(load(z, j, ZERO), base)
        if is_squared:
            store(g, j, larger(nothing, lead) * twice)
        else:
            store(g, j, where(lead > nothing, once, nothing))


@compiled(
    "int64(float32[:, ::1], int64[::1], float32[::1], float64, boolean, float64,"
    " float32[:], float64[::1], float32[:, ::1])"
)
def _violations(
    logits: Any,
    labels: Any,
    weights: Any,
    margin: float,
    is_squared: bool,
    share: float,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values w_y share sum max(0, margin + z_j - z_y)^p over j != y; leads in float64.

    Fused checks: NaN, infinities, labels.
    """
    classes = logits.shape[1]
    for i in range(logits.shape[0]):
        z, label = logits[i], labels[i]
        if not 0 <= label < classes or not all_finite(z):
            return SUSPECT
        base = margin - np.float64(z[label])
        weight = share * (np.float64(weights[label]) if weights.size else 1.0)
        total, slopes = _sums(z, base, label, is_squared)
        if not total < math.inf:  # a square that float32 does not hold
            return SUSPECT
        values[i] = weight * total
        if gradient.size:
            factor = weight * np.float64(outer[min(i, outer.size - 1)])
            _pull(z, base, is_squared, factor, gradient[i])
            gradient[i, label] = -factor * slopes
    return FINE
