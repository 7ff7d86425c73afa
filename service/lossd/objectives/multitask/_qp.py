"""The two quadratic programs of the methods, by non-negative least squares on a factor."""

import numpy as np
from scipy.optimize import nnls

from lossd.objectives.multitask._tasks import Array


def factor(gramian: Array) -> Array:
    """F (K, K) with F.T @ F the Gramian: its columns stand for the gradients."""
    values, vectors = np.linalg.eigh(gramian)
    made: Array = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return made


def non_negative(matrix: Array, target: Array) -> Array:
    """The x >= 0 of least |matrix @ x - target|."""
    found: Array = nnls(matrix, target, maxiter=50 * matrix.shape[1])[0]
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
    return max(gap / size, -float(weights.min()), abs(float(weights.sum()) - 1.0))


def project_on_dual_cone(gramian: Array, preference: Array) -> Array:
    """The v >= u (K,) of least v.T @ G @ v: J.T v is J.T u, moved to where no task conflicts."""
    scaled, size = gramian, float(np.abs(gramian).max())
    if size == 0.0:
        return preference.copy()
    columns = factor(scaled / size)
    return preference + non_negative(columns, -(columns @ preference))


def dual_cone_residual(gramian: Array, preference: Array, weights: Array) -> float:
    """Of the conditions of the projection: v >= u, G v >= 0, (v - u).T @ G @ v = 0; relative."""
    size = float(np.abs(gramian).max()) or 1.0
    more, inner = weights - preference, gramian @ weights / size
    scale = max(1.0, float(np.abs(weights).max())) ** 2
    return max(-float(more.min()), -float(inner.min()), abs(float(more @ inner))) / scale
