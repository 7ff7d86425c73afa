"""Dual focal loss: cross-entropy's pass, which also looks for the best class behind the label."""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, compiled, inlined
from lossd.engine.kernels import _weights
from lossd.engine.kernels._blocks import Work, binder
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import lanes_of, larger, largest_of, where
from lossd.engine.kernels._loads import load
from lossd.engine.kernels._rows import (
    LOWEST,
    ZERO,
    exp_and_sum,
    largest,
    log_of_total,
    multiply,
    position,
)
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


weigh = _weights.by_label


def work(call: Call) -> Work:
    """What computes the rows of a call."""
    params: Any = call.params
    may_ignore = params.ignore_index is not None
    constants = (may_ignore, params.ignore_index if may_ignore else 0, params.gamma)
    return Work(_dual, ("logits",), ("logits",), "labels", constants)


bind = binder(work)


@called()
def _largest_two(z: Any, limit: np.float32) -> Any:
    """The largest of a row, and the largest below a limit; NaNs are passed over."""
    lowest, limits = lanes_of(LOWEST), lanes_of(limit)
    found, behind = lowest, lowest
    for j in range(0, z.size, 16):
        x = load(z, j, LOWEST)
        found = larger(found, x)
        behind = larger(behind, where(x < limits, x, lowest))
    return largest_of(found), largest_of(behind)


@inlined()
def _slopes(nats: float, base: float, gamma: float, p: float, q: float) -> Any:
    """base^gamma, and nats times its derivative by -log p and by log q, where base = 1 - p + q."""
    if gamma == 0.0 or nats == math.inf:
        return 1.0, 0.0, 0.0
    if not base > 0.0:
        return 0.0, 0.0, 0.0
    bend = gamma * nats * base ** (gamma - 1.0)
    return base**gamma, bend * p, bend * q


@compiled(
    "int64(float32[:, ::1], int64[::1], boolean, int64, float64, float32[:], float64[::1],"
    " float32[:, ::1])"
)
def _dual(
    logits: Any,
    labels: Any,
    may_ignore: bool,
    ignore_index: int,
    gamma: float,
    outer: Any,
    values: Any,
    gradient: Any,
) -> int:
    """Values -(1 - p_y + p_j)^gamma log p_y, j the first of the largest below the label's.

    With a and b the slopes by -log p_y and log p_j, gradients are p (a - b), less a at y and
    more b at j. Fused checks: NaN, +inf, rows without a possible class, labels.
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
        own_logit = z[label]
        most, behind = _largest_two(z, own_logit)
        g = gradient[i] if gradient.size else z[:0]
        rest = exp_and_sum(z, most, label, g)
        lead = np.float64(most) - np.float64(own_logit)
        own = math.exp(-lead)
        total = rest + own
        if not total < math.inf:
            return SUSPECT
        next_term = math.exp(np.float64(behind) - np.float64(most))
        nats = lead + log_of_total(rest, own, lead)
        p, q = own / total, next_term / total
        base = rest / total + q
        modulation, by_own, by_next = _slopes(nats, base, gamma, p, q)
        values[i] = modulation * nats if modulation != 0.0 else 0.0
        if not gradient.size:
            continue
        weight = np.float64(outer[min(i, outer.size - 1)])
        net = weight * (modulation + (by_own - by_next))
        multiply(g, net / total)
        # At the label a (1 - p) + b p, in which nothing cancels; at the next one a q + b (1 - q).
        slope = modulation + by_own
        g[label] = -weight * (slope * (rest / total) + by_next * p)
        if by_next != 0.0:
            at = position(z, behind)
            if at < 0:  # they changed meanwhile
                return SUSPECT
            g[at] = weight * (slope * q + by_next * (1.0 - q))
    return FINE
