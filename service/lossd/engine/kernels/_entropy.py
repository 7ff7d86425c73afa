"""Entropy of a softmax, by itself or beside cross-entropy."""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, compiled, inlined
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import is_lane, lanes_of, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import LOWEST, PIECE, ZERO, largest, log_of_total, position


@called()
def _sums(
    z: Any, most: np.float32, inverse: np.float32, without: int, out: Any
) -> tuple[float, float]:
    """The sums of e^x but for one class, and of -x e^x; x is (z - most) `inverse`.

    The exponentials are written to `out`, unless it is empty; all of them.
    """
    total, far = 0.0, 0.0
    nothing, tops, inverses = lanes_of(ZERO), lanes_of(most), lanes_of(inverse)
    for start in range(0, z.size, PIECE):
        piece, distances = nothing, nothing
        for j in range(start, min(start + PIECE, z.size), 16):
            x = (load(z, j, LOWEST) - tops) * inverses
            e = exp_of_negative(x)
            if out.size:
                store(out, j, e)
            distances = distances - where(e == nothing, nothing, e * x)
            piece = piece + where(is_lane(without - j), nothing, e)
        total += sum_of(piece)
        far += sum_of(distances)
    return total, far


@called()
def _pull(
    z: Any, most: np.float32, inverse: np.float32, alike: float, by_distance: float, g: Any
) -> None:
    """Turn exponentials into gradients: e (alike + by_distance x)."""
    nothing, tops, inverses = lanes_of(ZERO), lanes_of(most), lanes_of(inverse)
    a, b = lanes_of(np.float32(alike)), lanes_of(np.float32(by_distance))
    for j in range(0, z.size, 16):
        x = (load(z, j, LOWEST) - tops) * inverses
        e = load(g, j, ZERO)
        store(g, j, where(e == nothing, nothing, e * (a + b * x)))


@inlined()
def entropy_counted(entropy: float, of_entropy: float, threshold: float) -> Any:
    """What an entropy adds to a value, and what it counts; a threshold of infinity is none."""
    if threshold == math.inf:
        return of_entropy * entropy, of_entropy
    if entropy < threshold:
        return of_entropy * (entropy - threshold), of_entropy
    return 0.0, 0.0


@compiled(
    "int64(float32[:, ::1], int64[::1], boolean, int64, float32[::1], float32, float64, float64,"
    " float32[:], float64[::1], float32[:, ::1])"
)
def with_entropy(
    logits: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    weights: Any,
    inverse: np.float32,
    of_entropy: float,
    threshold: float,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values w_y (-log p_y + of_entropy H), or of_entropy H without labels; p of logits `inverse`.

    With a finite `threshold` it is of_entropy min(0, H - threshold). Fused checks: NaN, +inf, rows
    without a possible class, labels.
    """
    classes = logits.shape[1]
    of_nats = 1.0 if labels.size else 0.0
    for i in range(logits.shape[0]):
        z, label = logits[i], -1
        ignored = False
        if labels.size:
            label = labels[i]
            ignored = may_ignore and label == ignore_index
            if not ignored and not 0 <= label < classes:
                return SUSPECT
        most = largest(z)
        special = label if labels.size and not ignored else position(z, most)
        g = gradient[i] if gradient.size else z[:0]
        rest, far = _sums(z, most, inverse, special, g)
        if special < 0 or not (rest < math.inf and most < math.inf):
            return SUSPECT
        if ignored:
            values[i] = 0.0
            if gradient.size:
                gradient[i] = ZERO
            continue
        lead = (np.float64(most) - np.float64(z[special])) * np.float64(inverse)
        own = math.exp(-lead)
        total = rest + own
        if not total < math.inf:
            return SUSPECT
        log_total, mean = log_of_total(rest, own, lead), far / total
        value, counted = entropy_counted(log_total + mean, of_entropy, threshold)
        if of_nats != 0.0:
            value += lead + log_total
        weight = np.float64(weights[label]) if weights.size else 1.0
        values[i] = weight * value if weight != 0.0 else 0.0
        if gradient.size:
            factor = weight * np.float64(outer[min(i, outer.size - 1)])
            pull = factor * counted * np.float64(inverse)
            _pull(z, most, inverse, (factor * of_nats - pull * mean) / total, -pull / total, g)
            own_pull = pull * own * (lead - mean) if own > 0.0 else 0.0
            g[special] = (own_pull - factor * of_nats * rest) / total
    return FINE
