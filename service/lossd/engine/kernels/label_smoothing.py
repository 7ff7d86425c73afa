"""Label smoothing: cross-entropy's pass, which also sums how far all classes are from the largest.

Where targets are one number but for the label's, sum u_k log p_k is that number times a plain sum.
"""

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
from lossd.engine.kernels._rows import LOWEST, ONE, PIECE, ZERO, largest, log_of_total
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
    ignore_index = params.ignore_index if may_ignore else 0
    constants = (may_ignore, ignore_index, weights, params.smoothing, params.spread == "others")
    return Work(smoothed, ("logits",), ("logits",), "labels", constants)


bind = binder(work)


@called()
def _sums(z: Any, most: np.float32, without: int, out: Any) -> tuple[float, float, float]:
    """The sums of e^(z - most) and of most - z, and the number of possible classes, but for one.

    The exponentials are written to `out`, unless it is empty; all of them.
    """
    total, distances, count = 0.0, 0.0, 0.0
    nothing, one, lowest, tops = lanes_of(ZERO), lanes_of(ONE), lanes_of(LOWEST), lanes_of(most)
    for start in range(0, z.size, PIECE):
        piece, far, many = nothing, nothing, nothing
        for j in range(start, min(start + PIECE, z.size), 16):
            x = load(z, j, LOWEST)
            e = exp_of_negative(x - tops)
            if out.size:
                store(out, j, e)
            x = where(is_lane(without - j), lowest, x)
            piece = piece + where(x == lowest, nothing, e)
            far = far + where(x > lowest, tops - x, nothing)
            many = many + where(x > lowest, one, nothing)
        total += sum_of(piece)
        distances += sum_of(far)
        count += sum_of(many)
    return total, distances, count


@called()
def _pull(z: Any, factor: float, share: float, g: Any) -> None:
    """Turn exponentials into gradients: times a factor, less the share of a possible class."""
    nothing, lowest = lanes_of(ZERO), lanes_of(LOWEST)
    factors, shares = lanes_of(np.float32(factor)), lanes_of(np.float32(share))
    for j in range(0, z.size, 16):
        taken = where(load(z, j, LOWEST) > lowest, shares, nothing)
        store(g, j, load(g, j, ZERO) * factors - taken)


@compiled(
    "int64(float32[:, ::1], int64[::1], boolean, int64, float32[::1], float64, boolean,"
    " float32[:], float64[::1], float32[:, ::1])"
)
def smoothed(
    logits: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    weights: Any,
    smoothing: float,
    spares_label: bool,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values -w_y sum_k u_k log p_k; gradients w_y (p sum(u) - u).

    u is the smoothing over the number of those that share it: the possible classes, or the others
    where it `spares_label`. The label has the rest, and all where none share. Fused checks: NaN,
    +inf, rows without a possible class, labels.
    """
    classes = logits.shape[1]
    for i in range(logits.shape[0]):
        z, label = logits[i], labels[i]
        ignored = may_ignore and label == ignore_index
        if ignored:
            label = -1
        elif not 0 <= label < classes:
            return SUSPECT
        most = largest(z)
        g = gradient[i] if gradient.size else z[:0]
        rest, distances, others = _sums(z, most, label, g)
        if not (LOWEST < most < math.inf and rest < math.inf and distances < math.inf):
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
        own_takes = 1.0 if lead < math.inf and not spares_label else 0.0
        takers = others + own_takes
        share = smoothing / takers if takers > 0.0 else 0.0
        label_share = (1.0 - smoothing if takers > 0.0 else 1.0) + own_takes * share
        log_total = log_of_total(rest, own, lead)
        value = share * (distances + others * log_total)
        if label_share != 0.0:
            value += label_share * (lead + log_total)
        weight = np.float64(weights[label]) if weights.size else 1.0
        values[i] = weight * value if weight != 0.0 else 0.0
        if gradient.size:
            factor = weight * np.float64(outer[min(i, outer.size - 1)])
            spread = share * others
            whole = spread + label_share
            _pull(z, factor * whole / total, factor * share, g)
            g[label] = factor * (spread - whole * rest / total)
    return FINE
