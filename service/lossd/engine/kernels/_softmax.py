"""Minus the logarithm of a softmax: what cross_entropy and its kin are made of.

The term of the class that counts is kept out of the sum of exponentials. What is left is the miss,
1 - p = rest / total, to float32's relative precision even where p rounds to 1: so are the value,
log1p(rest), and the gradient at that class.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import called, compiled, inlined
from lossd.engine.kernels._blocks import NO_WEIGHTS
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import is_lane, lanes_of, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import (
    LOWEST,
    ONE,
    PIECE,
    ZERO,
    distribution_is_sound,
    exp_and_sum,
    largest,
    log_of_total,
    multiply,
    position,
)


@inlined()
def focused(
    nats: float,
    hit: float,
    miss: float,
    gamma: float,
    detached: bool,
    power: float,
    of_nats: float,
    of_miss: float,
) -> Any:
    """A value, and its derivative by nats = -log p.

    Without a power (q) it is nats (1 - p)^gamma, whose derivative is (1 - p)^gamma if `detached`;
    with it (1 - p^q) / q; without gamma either it is of_nats nats + of_miss (1 - p). `hit` is p,
    `miss` 1 - p.
    """
    if power > 0.0:
        return -math.expm1(-power * nats) / power, math.exp(-power * nats)
    if gamma == 0.0 or nats == math.inf:
        if of_nats == 1.0 and of_miss == 0.0:
            return nats, 1.0
        value = of_miss * miss
        if of_nats != 0.0:
            value += of_nats * nats
        if of_miss < 0.0:  # of_nats - |of_miss| p, without the difference where p is nearly 1
            return value, (of_nats + of_miss) - of_miss * miss
        return value, of_nats + of_miss * hit
    modulation = miss**gamma
    slope = modulation
    if not detached and miss > 0.0:
        slope += gamma * hit * nats * miss ** (gamma - 1.0)
    return nats * modulation, slope


@compiled(
    "int64(float32[:, ::1], int64[::1], boolean, int64, float32[::1], boolean, float64, boolean,"
    " float64, float64, float64, float32[:], float64[::1], float64[::1], float64[::1],"
    " float32[:, ::1])"
)
def labelled(
    logits: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    weights: Any,
    weighs_factor: bool,
    gamma: float,
    detached: bool,
    power: float,
    of_nats: float,
    of_miss: float,
    outer: Any,
    values: Any,
    log_sum_exp: Any,
    factors: Any,
    gradient: Any,
) -> int:
    """Values w_y times what `focused` makes of -log p_y; gradients w_y slope (p - onehot(y)).

    The factor of a recipe includes w_y if it `weighs_factor`. The gradient may be written where the
    logits are. Fused checks: NaN, +inf, rows without a possible class, labels.
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
        lead = np.float64(most) - np.float64(z[max(0, label)])
        rest = exp_and_sum(z, most, label, gradient[i] if gradient.size else z[:0])
        if ignored:
            if not rest < math.inf:
                return SUSPECT
            values[i] = 0.0
            if gradient.size:
                gradient[i] = ZERO
            if factors.size:
                factors[i] = log_sum_exp[i] = 0.0
            continue
        own = math.exp(-lead)
        total = rest + own
        if not total < math.inf:
            return SUSPECT
        log_total = log_of_total(rest, own, lead)
        value = lead + log_total
        weight = np.float64(weights[label]) if weights.size else 1.0
        value, slope = focused(
            value, own / total, rest / total, gamma, detached, power, of_nats, of_miss
        )
        values[i] = weight * value if weight != 0.0 else 0.0
        factor = np.float64(outer[min(i, outer.size - 1)]) * slope
        if factors.size:
            factors[i] = factor * weight if weighs_factor else factor
            log_sum_exp[i] = np.float64(most) + log_total if factors[i] != 0.0 else 0.0
        if gradient.size:
            factor *= weight / total
            multiply(gradient[i], factor)
            gradient[i, label] = -factor * rest
    return FINE


def constants_of(
    ignore_index: int | None,
    weights: NDArray[np.float32] = NO_WEIGHTS,
    *,
    weighs_factor: bool = False,
    gamma: float = 0.0,
    detached: bool = False,
    power: float = 0.0,
    of_nats: float = 1.0,
    of_miss: float = 0.0,
) -> tuple[Any, ...]:
    """What `labelled` is called with between labels and outer; unless told, of cross-entropy."""
    may_ignore = ignore_index is not None
    ignored = ignore_index if may_ignore else 0
    form = (weighs_factor, gamma, detached, power, of_nats, of_miss)
    return (may_ignore, ignored, weights, *form)


@called()
def _possible(z: Any) -> float:
    """How many logits are not -inf."""
    count, one, none, lowest = 0.0, lanes_of(ONE), lanes_of(ZERO), lanes_of(LOWEST)
    for start in range(0, z.size, PIECE):
        piece = none
        for j in range(start, min(start + PIECE, z.size), 16):
            piece = piece + where(load(z, j, LOWEST) > lowest, one, none)
        count += sum_of(piece)
    return count


@inlined()
def _targets(z: Any, t: Any, weights: Any, kept: np.float32, share: np.float32, j: int) -> Any:
    """Sixteen u, of which hard labels are no part."""
    nothing = lanes_of(ZERO)
    u = where(load(z, j, LOWEST) > lanes_of(LOWEST), lanes_of(share), nothing)
    if t.size:
        u = u + load(t, j, ZERO) * lanes_of(kept)
    if weights.size:
        u = u * load(weights, j, ZERO)
    return u


@called()
def _sums(
    z: Any,
    most: np.float32,
    t: Any,
    weights: Any,
    kept: np.float32,
    share: np.float32,
    without: int,
) -> tuple[float, float]:
    """The sums of u (most - z) and of u, both but for one class."""
    distances, total = 0.0, 0.0
    nothing, top = lanes_of(ZERO), lanes_of(most)
    for start in range(0, z.size, PIECE):
        far, piece = nothing, nothing
        for j in range(start, min(start + PIECE, z.size), 16):
            u = _targets(z, t, weights, kept, share, j)
            u = where(is_lane(without - j), nothing, u)
            piece = piece + u
            far = far + where(u == nothing, nothing, u * (top - load(z, j, LOWEST)))
        distances += sum_of(far)
        total += sum_of(piece)
    return distances, total


@called()
def _pull(
    z: Any,
    t: Any,
    weights: Any,
    kept: np.float32,
    share: np.float32,
    factor: float,
    of_exponentials: float,
    e: Any,
) -> None:
    """Turn exponentials into gradients."""
    a, b = lanes_of(np.float32(of_exponentials)), lanes_of(np.float32(factor))
    for j in range(0, z.size, 16):
        u = _targets(z, t, weights, kept, share, j)
        store(e, j, load(e, j, ZERO) * a - b * u)


@compiled(
    "int64(float32[:, ::1], float32[:, ::1], int64[::1], boolean, int64, float32[::1], float64,"
    " float64, float32[:], float64[::1], float64[::1], float64[::1], float32[:, ::1])"
)
def spread(
    logits: Any,
    targets: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    weights: Any,
    smoothing: float,
    tolerance: float,
    outer: Any,
    values: Any,
    log_sum_exp: Any,
    factors: Any,
    gradient: Any,
) -> int:
    """Values -sum_k u_k log p_k; gradients p sum(u) - u; u_k = w_k ((1 - a) t_k + a / K possible).

    t is one-hot where there are labels. Fused checks: those of `labelled`; targets in [0, 1] whose
    sum is within `tolerance` of 1.
    """
    classes = logits.shape[1]
    for i in range(logits.shape[0]):
        z, label = logits[i], -1
        if labels.size:
            label = labels[i]
            if may_ignore and label == ignore_index:
                if not exp_and_sum(z, largest(z), -1, z[:0]) < math.inf:
                    return SUSPECT
                values[i] = 0.0
                if gradient.size:
                    gradient[i] = ZERO
                if factors.size:
                    factors[i] = log_sum_exp[i] = 0.0
                continue
            if not 0 <= label < classes:
                return SUSPECT
        most = largest(z)
        special = label if labels.size else position(z, most)
        if special < 0:
            return SUSPECT
        t = targets[i] if targets.size else z[:0]
        if targets.size and not distribution_is_sound(t, tolerance):
            return SUSPECT
        e = gradient[i] if gradient.size else z[:0]
        rest = exp_and_sum(z, most, special, e)
        lead = np.float64(most) - np.float64(z[special])
        own = math.exp(-lead)
        total = rest + own
        if not total < math.inf:
            return SUSPECT
        share = np.float32(smoothing / _possible(z) if smoothing > 0.0 else 0.0)
        kept = np.float32(1.0 - smoothing)
        distances, others = _sums(z, most, t, weights, kept, share, special)
        u = np.float64(kept) * (np.float64(t[special]) if t.size else 1.0)
        if lead < math.inf:
            u += np.float64(share)
        if weights.size:
            u *= np.float64(weights[special])
        if u != 0.0:
            distances += u * lead
        weight = others + u
        if not weight < math.inf:
            return SUSPECT
        log_total = log_of_total(rest, own, lead)
        values[i] = distances + weight * log_total
        factor = np.float64(outer[min(i, outer.size - 1)])
        if factors.size:
            factors[i] = factor
            log_sum_exp[i] = np.float64(most) + log_total if factor != 0.0 else 0.0
        if gradient.size:
            _pull(z, t, weights, kept, share, factor, factor * weight / total, e)
            e[special] = factor * (others - weight * rest / total)
    return FINE
