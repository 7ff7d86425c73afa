"""Logit adjustment: cross-entropy's pass over logits that are shifted on the way.

With s = tau log prior, exponents are (z_k - z_b) + (s_k - s_b), b being the largest class of z + s:
the digits that z + s would lose are kept. s is two float32, as its own rounding would show at a
large tau.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import called, compiled, inlined
from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import any_of, is_lane, lanes_of, larger, largest_of, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import (
    LOWEST,
    PIECE,
    ZERO,
    exp_and_sum,
    largest,
    log_of_total,
    multiply,
)
from lossd.schema import Call

_LARGEST = float(np.finfo(np.float32).max)
_MOST_KEPT = 4096  # classes: a training's counts are the same from call to call


def applies(call: Call) -> bool:
    """Every call; an item that the prior leaves without a class is left to the plain function."""
    return True


weigh = _weights.by_label


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    counts = _weights.of_classes(call, "class_counts")
    shift = _shift if counts.size <= _MOST_KEPT else _shift.__wrapped__
    parts = shift(counts.tobytes(), params.tau)
    if parts is None:
        return _weights.REFUSED
    may_ignore = params.ignore_index is not None
    constants = (may_ignore, params.ignore_index if may_ignore else 0, *parts)
    return Work(_adjusted, ("logits",), ("logits",), "labels", constants)


bind = binder(work)


@lru_cache(64)
def _shift(
    class_counts: bytes, tau: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """What is added to the logits, in two parts, but for a constant: 0 for the commonest class.

    Nobody writes to it. None of counts that are not finite and >= 0, or have no sum in float32:
    the plain function finds no shares in them.
    """
    given = np.frombuffer(class_counts, np.float32)
    counts = given.astype(np.float64)
    if not _weights.are_sound(given) or not 0.0 < counts.sum() < _LARGEST:
        return None
    if tau == 0.0:
        nothing = np.zeros(counts.size, np.float32)
        return nothing, nothing
    with np.errstate(divide="ignore"):
        shift = tau * np.log(counts / counts.max())
    high = shift.astype(np.float32)
    low = np.subtract(shift, high, out=np.zeros_like(shift), where=counts > 0)
    return high, low.astype(np.float32)


@called()
def _largest_sum(z: Any, s: Any) -> Any:
    """The largest z + s; NaNs are passed over."""
    found = lanes_of(LOWEST)
    for j in range(0, z.size, 16):
        found = larger(found, load(z, j, LOWEST) + load(s, j, ZERO))
    return largest_of(found)


@called()
def _position_of_sum(z: Any, s: Any, value: np.float32) -> int:
    """Where z + s is first a value; -1 if nowhere."""
    wanted = lanes_of(value)
    for j in range(0, z.size, 16):
        if any_of(load(z, j, LOWEST) + load(s, j, ZERO) == wanted):
            for k in range(j, min(j + 16, z.size)):
                if z[k] + s[k] == value:
                    return k
    return -1


@called()
def _exp_and_sum(z: Any, high: Any, low: Any, at: int, without: int, out: Any) -> float:
    """`exp_and_sum` of shifted logits, less the one that is at `at`."""
    total = 0.0
    tops, shifts, small = lanes_of(z[at]), lanes_of(high[at]), lanes_of(low[at])
    nothing = lanes_of(ZERO)
    for start in range(0, z.size, PIECE):
        piece = nothing
        for j in range(start, min(start + PIECE, z.size), 16):
            shift = (load(high, j, ZERO) - shifts) + (load(low, j, ZERO) - small)
            e = exp_of_negative((load(z, j, LOWEST) - tops) + shift)
            if out.size:
                store(out, j, e)
            piece = piece + where(is_lane(without - j), nothing, e)
        total += sum_of(piece)
    return total


@inlined()
def _distance(z: Any, high: Any, low: Any, at: int, label: int) -> float:
    """How far the label is behind the largest class."""
    shift = np.float64(high[at]) + np.float64(low[at])
    other = np.float64(high[label]) + np.float64(low[label])
    return (np.float64(z[at]) - np.float64(z[label])) + (shift - other)


@compiled(
    "int64(float32[:, ::1], int64[::1], boolean, int64, float32[::1], float32[::1], float32[:],"
    " float64[::1], float32[:, ::1])"
)
def _adjusted(
    logits: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    high: Any,
    low: Any,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values -log p_y; gradients p - onehot(y). A class whose `high` is -inf cannot be.

    Fused checks: NaN, +inf, rows without a possible class, labels.
    """
    classes = logits.shape[1]
    for i in range(logits.shape[0]):
        z, label = logits[i], labels[i]
        if may_ignore and label == ignore_index:
            if not exp_and_sum(z, largest(z), -1, z[:0]) < math.inf:
                return SUSPECT
            values[i] = 0.0
            if gradient.size:
                gradient[i] = ZERO
            continue
        if not 0 <= label < classes:
            return SUSPECT
        most = _largest_sum(z, high)
        at = _position_of_sum(z, high, most)
        if at < 0 or most == LOWEST:
            return SUSPECT
        g = gradient[i] if gradient.size else z[:0]
        rest = _exp_and_sum(z, high, low, at, label, g)
        lead = _distance(z, high, low, at, label)
        own = math.exp(-lead)
        total = rest + own
        if not total < math.inf:
            return SUSPECT
        values[i] = lead + log_of_total(rest, own, lead)
        if gradient.size:
            factor = np.float64(outer[min(i, outer.size - 1)]) / total
            multiply(g, factor)
            g[label] = -factor * rest
    return FINE
