"""The two quadratic programs of the methods, by non-negative least squares on a factor."""

import numpy as np
from scipy.optimize import lsq_linear, nnls

from lossd.objectives.multitask._spectrum import cosines_of
from lossd.objectives.multitask._tasks import Array


def factor(gramian: Array) -> Array:
    """F (K, K) with F.T @ F the Gramian: its columns stand for the gradients.

    It is made of their cosines, so that short gradients are as exact as long ones.
    """
    values, vectors = np.linalg.eigh(cosines_of(gramian))
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    made: Array = root * np.sqrt(np.diag(gramian))
    return made


def non_negative(matrix: Array, target: Array) -> Array:
    """The x >= 0 of least |matrix @ x - target|."""
    try:
        found: Array = nnls(matrix, target, maxiter=50 * matrix.shape[1])[0]
    except RuntimeError:  # it cycles between columns that are the same to rounding
        found = np.maximum(lsq_linear(matrix, target, (0.0, np.inf), tol=1e-15).x, 0.0)
    return found


def hull_point(columns: Array) -> Array:
    """The convex coefficients (K,) of the point of least norm in the hull of the columns.

    With u >= 0 of least |columns @ u|^2 + (sum(u) - 1)^2, they are u / sum(u).
    """
    count = columns.shape[1]
    size = float(np.abs(columns).max(initial=0.0))
    if size == 0.0:
        return np.full(count, 1.0 / count)
    stacked = np.vstack([columns / size, np.ones(count)])
    target = np.zeros(len(stacked))
    target[-1] = 1.0
    found = non_negative(stacked, target)
    made: Array = found / found.sum()
    return made


def smallest_in_hull(gramian: Array) -> Array:
    """The a (K,) of least a.T @ G @ a, a >= 0, sum(a) = 1: the coefficients of MGDA."""
    return hull_point(factor(gramian))


def hull_residual(gramian: Array, weights: Array) -> float:
    """How far a is from least: of its optimality conditions, relative to the largest of G.

    (G a)_k is at least a.T @ G @ a everywhere, a >= 0, sum(a) = 1.
    """
    size = float(np.abs(gramian).max()) or 1.0
    inner = gramian @ weights
    gap = float(weights @ inner) - float(inner.min())
    return max(gap / size, -float(weights.min()), abs(float(weights.sum()) - 1.0), 0.0)


def project_on_dual_cone(columns: Array, preference: Array) -> Array:
    """The v >= u (K,) of least |F v|, F the factor: J.T u, moved to where no task conflicts."""
    lengths = np.linalg.norm(columns, axis=0)
    held = lengths > 0
    if not held.any():
        return preference
    unit = columns[:, held] / lengths[held]
    moved = preference.copy()
    moved[held] += non_negative(unit, -(columns @ preference)) / lengths[held]
    return moved


def dual_cone_residual(gramian: Array, preference: Array, weights: Array) -> float:
    """Of the conditions of the projection: v >= u, G v >= 0, (v - u).T @ G @ v = 0.

    In multiples of unit gradients, relative to the sum of |v_k| |g_k|.
    """
    lengths = np.sqrt(np.diag(gramian))
    held = lengths > 0
    more = ((weights - preference) * lengths)[held]
    inner = (gramian @ weights)[held] / lengths[held]
    size = float(np.abs(weights) @ lengths)
    if size == 0.0 or not held.any():
        return 0.0
    more, inner = more / size, inner / size
    return max(-float(more.min()), -float(inner.min()), abs(float(more @ inner)), 0.0)
