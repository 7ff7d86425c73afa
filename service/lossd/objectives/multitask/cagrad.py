"""Conflict-averse gradient descent."""

import numpy as np
from pydantic import Field
from scipy.optimize import brentq

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._qp import (
    factor,
    hull_point,
    project_on_dual_cone,
    smallest_in_hull,
)
from lossd.objectives.multitask._tasks import Array


class CAGradParams(MethodParams):
    """Parameters of `cagrad`."""

    c: float = Field(
        0.5, ge=0, le=100, description="Radius of the ball around the mean gradient, of its norm."
    )


def residual(weights: Array, gramian: Array, count: int, params: CAGradParams) -> float:
    """The duality gap, or how far the direction is out of the ball if that is more; relative."""
    size = float(np.abs(gramian).max())
    if size == 0.0:
        return 0.0
    unit, mean = gramian / size, np.full(count, 1.0 / count)
    length = np.sqrt(max(float(mean @ unit @ mean), 0.0))
    more = weights - mean
    outside = np.sqrt(max(float(more @ unit @ more), 0.0)) - params.c * length
    candidates = [smallest_in_hull(unit)]
    if more.sum() > 0 and more.min() >= -1e-9 * more.sum():
        candidates.append(np.maximum(more, 0.0) / np.maximum(more, 0.0).sum())
    bound = min(_dual(unit, mean, params.c * length, each) for each in candidates)
    if params.c == 0.0:
        bound = float((unit @ mean).min())
    gap = max(float(outside), bound - float((unit @ weights).min()), 0.0)
    return gap / (1.0 + params.c)


def _dual(gramian: Array, mean: Array, radius: float, point: Array) -> float:
    norm = float(np.sqrt(max(float(point @ gramian @ point), 0.0)))
    return float(point @ gramian @ mean) + radius * norm


@method(
    formula=r"\max_d \min_k \, g_k \cdot d \ \text{ s.t. } \lVert d - g_0 \rVert \le "
    r"c \lVert g_0 \rVert,\quad g_0 = \tfrac1K \sum_k g_k",
    source="Liu et al. 2021, arXiv:2110.14048, eq. 3 and algorithm 1",
    equation="the duality gap: the least of the g_k.d against the bound that the dual gives, and "
    "the distance from the ball, relative to 1 + c times the largest gradient's squared norm",
    residual=residual,
)
def cagrad(*, gramian: Array, count: int, params: CAGradParams) -> Solved:
    """The direction near the mean gradient along which the worst task gains most.

    Where a combination of the gradients is 0 and the ball holds directions without conflict, the
    best of them gain nothing for some task; the one nearest the mean gradient is answered. A task
    whose gradient is 0 has the weight 1/K.
    """
    mean, size = np.full(count, 1.0 / count), float(np.abs(gramian).max())
    if size == 0.0 or params.c == 0.0:
        return Solved(weights=mean)
    columns = factor(gramian / size)
    center = columns @ mean
    radius = params.c * float(np.linalg.norm(center))
    if radius <= 1e-15:
        return Solved(weights=mean)
    point = _dual_point(columns, center, radius)
    norm = float(np.linalg.norm(columns @ point))
    # Of a sum that cancels to rounding the direction is not known.
    is_known = norm > 1e-14 * float(np.linalg.norm(columns, axis=0).max())
    found = mean + radius / norm * point if is_known else mean
    found = np.where(np.diag(gramian) > 0, found, mean)  # of no gradient any weight would do
    if norm > 1e-6:
        return Solved(weights=found)
    # Near a stationary point the direction of g_w is rounding: what solves the problem better.
    projected = project_on_dual_cone(columns, mean)
    if float(np.linalg.norm(columns @ (projected - mean))) > (1.0 + 1e-9) * radius:
        return Solved(weights=found)
    misses = [residual(each, gramian, count, params) for each in (projected, found)]
    return Solved(weights=projected if misses[0] <= misses[1] else found)


def _dual_point(columns: Array, center: Array, radius: float) -> Array:
    """The w in the simplex of least g_w.g_0 + radius |g_w|.

    |g_w| is the least of (|g_w|^2 / t + t) / 2 over t > 0, so that w is the point of least norm in
    the hull of g_k + (t / radius) g_0 at the t that is its |g_w|.
    """

    def point(t: float) -> Array:
        return hull_point(columns + (t / radius) * center[:, None])

    def over(t: float) -> float:
        return t - float(np.linalg.norm(columns @ point(t)))

    low, high = 1e-12, 2.0 * float(np.linalg.norm(columns, axis=0).max())
    if over(low) >= 0.0:
        return point(0.0)
    return point(float(brentq(over, low, high, xtol=1e-16, rtol=1e-15, maxiter=500)))
