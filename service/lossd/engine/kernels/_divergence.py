"""KL(p || q), alone or beside cross-entropy: what kl_divergence and adversarial are made of.

With d_k = (z_k - max z) - (x_k - max x), of the logits z of p and x of q, the value is
sum p d - log(T_p / T_q), T being the sums of exponentials, and the gradients are p (d - sum p d)
and q - p. At the largest class of either, 1 - p is the sum of the others over T, and not a
difference of rounded numbers.
"""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, compiled, inlined
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import any_of, is_lane, lanes_of, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import (
    LOWEST,
    PIECE,
    ZERO,
    exp_and_sum,
    largest,
    position,
)

BESIDE_P, BESIDE_Q = 0, 1  # whose logits are those of the labels


@called()
def _moment(
    e: Any, z: Any, x: Any, top: np.float32, other_top: np.float32, without: int
) -> tuple[float, bool]:
    """The sum of e d but for one class, and whether q is 0 only where p is."""
    total, is_possible = 0.0, True
    nothing, tops, other_tops = lanes_of(ZERO), lanes_of(top), lanes_of(other_top)
    lowest = lanes_of(LOWEST)
    for start in range(0, z.size, PIECE):
        piece = nothing
        for j in range(start, min(start + PIECE, z.size), 16):
            weight, logit, away = load(e, j, ZERO), load(z, j, LOWEST), load(x, j, ZERO)
            if any_of((away == lowest) & (logit > lowest)):
                is_possible = False
            d = (logit - tops) - (away - other_tops)
            term = where(weight == nothing, nothing, weight * d)
            piece = piece + where(is_lane(without - j), nothing, term)
        total += sum_of(piece)
    return total, is_possible


@called()
def _pull_p(
    e: Any,
    z: Any,
    x: Any,
    top: np.float32,
    other_top: np.float32,
    center: float,
    factor: float,
    label_share: float,
    out: Any,
) -> None:
    """Write e (factor (d - center) + label_share)."""
    nothing, tops, other_tops = lanes_of(ZERO), lanes_of(top), lanes_of(other_top)
    factors, centers = lanes_of(np.float32(factor)), lanes_of(np.float32(center))
    shares = lanes_of(np.float32(label_share))
    for j in range(0, z.size, 16):
        weight = load(e, j, ZERO)
        d = (load(z, j, ZERO) - tops) - (load(x, j, ZERO) - other_tops)
        found = weight * (factors * (d - centers) + shares)
        store(out, j, where(weight == nothing, nothing, found))


@called()
def _pull_q(e: Any, p: Any, factor: float, factor_of_p: float, out: Any) -> None:
    """Write e factor - p factor_of_p."""
    a, b = lanes_of(np.float32(factor)), lanes_of(np.float32(factor_of_p))
    for j in range(0, e.size, 16):
        store(out, j, load(e, j, ZERO) * a - load(p, j, ZERO) * b)


@inlined()
def _set_best(g: Any, at: int, label: int, pull: float, share: float, rest: float) -> None:
    """Write the gradient at the largest class, and what a label elsewhere takes away."""
    if share != 0.0 and label != at:
        g[label] -= share
    g[at] = pull + (-share * rest if label == at else share) / (1.0 + rest)


@called()
def _side(z: Any, is_normal: bool, e: Any) -> Any:
    """Write e^(z - top). Whether the row is sound, top, its class, the rest, log T, the sum of p.

    Of log-probabilities, which nothing brings to a sum of 1, top is 0 and no class has it.
    """
    most = largest(z)
    if is_normal:
        mass = exp_and_sum(z, ZERO, -1, e)
        return LOWEST < most <= ZERO and mass < math.inf, ZERO, -1, 0.0, 0.0, mass
    at = position(z, most)
    rest = exp_and_sum(z, most, at, e)
    sound = at >= 0 and rest < math.inf and LOWEST < most < math.inf
    return sound, most, at, rest, math.log1p(rest), 1.0


@compiled(
    "int64(float32[:, ::1], float32[:, ::1], int64[::1], int64, boolean, boolean, float64,"
    " float64, float64, float32[:], float64[::1], float32[:, ::1], float32[:, ::1])"
)
def divergence(
    p_logits: Any,
    q_logits: Any,
    labels: Any,
    beside: int,
    p_is_normal: bool,
    q_is_normal: bool,
    beta: float,
    beta_p: float,
    beta_q: float,
    outer: Any,
    values: Any,
    gradient_p: Any,
    gradient_q: Any,
) -> int:
    """Values beta KL(p || q) and, of labels, - log of the probability that one of both gives them.

    beta_p and beta_q: what counts in the gradients in place of beta. A normal input holds
    log-probabilities. Fused checks: NaN, +inf, rows without a possible class, log-probabilities
    above 0, labels. Infinite divergences are not computed here.
    """
    classes = p_logits.shape[1]
    scratch = np.empty((2, classes), np.float32)
    e, f = scratch[0], scratch[1]
    for i in range(p_logits.shape[0]):
        z, x, label = p_logits[i], q_logits[i], -1
        if labels.size:
            label = labels[i]
            if not 0 <= label < classes:
                return SUSPECT
        sound, top, at, rest, log_total, mass = _side(z, p_is_normal, e)
        other_sound, other_top, other_at, other_rest, other_log, _ = _side(x, q_is_normal, f)
        if not sound or not other_sound:
            return SUSPECT
        others, is_possible = _moment(e, z, x, top, other_top, at)
        own = 0.0 if at < 0 else np.float64(other_top) - np.float64(x[at])
        center = (others + own) / (1.0 + rest)
        value = beta * (center - mass * (log_total - other_log))
        if not is_possible or not abs(value) < math.inf:
            return SUSPECT
        weight = np.float64(outer[min(i, outer.size - 1)])
        share_p = share_q = 0.0
        if label >= 0 and beside == BESIDE_P:
            share_p = weight
            value += np.float64(top) - np.float64(z[label]) + log_total
        elif label >= 0:
            share_q = weight
            value += np.float64(other_top) - np.float64(x[label]) + other_log
        values[i] = value
        if gradient_p.size:
            # Where p is not brought to a sum of 1 the derivative is p (log p - log q + 1).
            pivot = log_total - other_log - 1.0 if p_is_normal else center
            g, total, factor = gradient_p[i], 1.0 + rest, weight * beta_p / (1.0 + rest)
            _pull_p(e, z, x, top, other_top, pivot, factor, share_p / total, g)
            if at >= 0:
                pull = factor * (own * rest - others) / total
                _set_best(g, at, label, pull, share_p, rest)
        if gradient_q.size:
            g, total, factor = gradient_q[i], 1.0 + other_rest, weight * beta_q
            pull = 0.0 if q_is_normal else (factor * mass + share_q) / total
            _pull_q(f, e, pull, factor / (1.0 + rest), g)
            if other_at >= 0:
                miss = rest if other_at == at else mass * (1.0 + rest) - np.float64(e[other_at])
                pull = factor * (miss / (1.0 + rest) - mass * other_rest / total)
                _set_best(g, other_at, label, pull, share_q, other_rest)
    return FINE
