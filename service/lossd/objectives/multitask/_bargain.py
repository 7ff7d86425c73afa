"""The x > 0 with G x = x^(-1/alpha): what Nash bargaining and alpha-fairness come to.

It is where the convex x.G x / 2 - sum of phi(x_k), phi'(x) = x^(-1/alpha), is least. That grows
without end in every direction, so that there is exactly one, unless G a = 0 for some a >= 0 other
than 0: at a Pareto-stationary point.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from lossd.objectives.multitask._qp import smallest_in_hull
from lossd.objectives.multitask._spectrum import cosines_of
from lossd.objectives.multitask._tasks import Array
from lossd.schema.call import Warned

_STEPS = 400  # of Newton from the start, and of the way from there
_STATIONARY = 64 * np.finfo(float).eps  # squared norm per task, of combined unit gradients


@dataclass(frozen=True, slots=True)
class Bargain:
    """The weights (K,), and what is to be said of them."""

    weights: Array
    warnings: tuple[Warned, ...]


def bargain(gramian: Array, alpha: float) -> Bargain:
    """The solution, where tasks without a gradient are left out, with a weight of 0.

    At a Pareto-stationary point there is none: the weights are those of MGDA, whose direction is 0.
    """
    held = np.diag(gramian) > 0
    warnings: tuple[Warned, ...] = ()
    if not held.all():
        some = ", ".join(str(i) for i in np.flatnonzero(~held)[:10])
        warnings = (Warned("zero_gradient", f"tasks {some} have a gradient of 0: weight 0"),)
    weights = np.zeros(len(gramian))
    if not held.any():
        return Bargain(weights, warnings)
    inner = gramian[np.ix_(held, held)]
    unit = cosines_of(inner)
    hull = smallest_in_hull(unit)
    if float(hull @ unit @ hull) <= _STATIONARY * len(unit):
        detail = "a convex combination of the gradients is 0: the weights are of one, as of mgda"
        lengths = np.sqrt(np.diag(inner))
        weights[held] = hull / lengths / (hull / lengths).sum()
        return Bargain(weights, (*warnings, Warned("pareto_stationary", detail)))
    logs = 0.5 * np.log(np.diag(inner))
    weights[held] = np.exp(_bargained(unit, logs, 1.0 / alpha) - logs)
    miss = bargain_residual(gramian, weights, alpha)
    if not miss < 1e-6:
        detail = (
            f"the equation is missed by {miss:.1g}: the gradients are too far apart for float64"
        )
        warnings = (*warnings, Warned("inexact", detail))
    return Bargain(weights, warnings)


def _bargained(unit: Array, logs: Array, power: float) -> Array:
    """log y with (C y)_k = (y_k / |g_k|)^-power / |g_k|, C the cosines: y_k = x_k |g_k|.

    `logs` are those of |g_k|. At power 1 it is C y = 1 / y, whatever they are: from there on the
    solution is followed as the power changes.
    """
    z = np.log(_root(unit))
    at, step = 1.0, 0.25
    for _ in range(_STEPS):
        if at == power or step < 1e-6:
            break
        there = at * float(np.exp(np.clip(np.log(power / at), -step, step)))
        there = power if abs(there - power) < 1e-12 else there
        try:
            slope = -np.linalg.solve(_jacobian(unit, z, at), z - logs)
            moved = _corrected(unit, logs, z + (there - at) * slope, there)
        except np.linalg.LinAlgError:
            moved = None
        if moved is None:
            step *= 0.5
        else:
            z, at, step = moved, there, min(2.0 * step, 1.0)
    return z


def _jacobian(unit: Array, z: Array, power: float) -> Array:
    """Of log(C e^z) + power z: it has no eigenvalue below the power where C e^z > 0."""
    y = np.exp(z)
    made: Array = unit * y / (unit @ y)[:, None] + power * np.eye(len(z))
    return made


def _corrected(unit: Array, logs: Array, z: Array, power: float) -> Array | None:
    """The solution near z by Newton steps; None if they do not come near one."""
    best, miss = None, 1e-2
    for _ in range(12):
        inner = unit @ np.exp(z)
        if not (np.isfinite(inner).all() and (inner > 0).all()):
            break
        error = np.log(inner) + power * z - (power - 1.0) * logs
        size = float(np.abs(error).max())
        if size >= miss and best is not None:
            break
        if size < miss:
            best, miss = z, size
        z = z - np.linalg.solve(_jacobian(unit, z, power), error)
    return best if miss < 1e-6 else None


def _root(unit: Array) -> Array:
    """The y > 0 with C y = 1 / y, by Newton steps cut back to fall."""
    y = np.ones(len(unit))
    best, miss, vain = y, np.inf, 0
    for _ in range(_STEPS):
        slope = unit @ y - 1.0 / y
        error = float(np.abs(slope * y).max())
        vain = 0 if error < 0.5 * miss else vain + 1
        if error < miss:
            best, miss = y, error
        if error <= 4 * np.finfo(float).eps or (error < 1e-9 and vain > 2):
            break
        try:
            step = -y * _solved(unit * y * y[:, None] + np.eye(len(y)), y * slope)
        except np.linalg.LinAlgError:  # near a stationary point y is so large that 1 is rounding
            break
        length = np.sqrt(max(float(-(slope @ step)), 0.0))
        # What falls, y.C y / 2 - sum(log y), is self-concordant: this much of a step is safe.
        y = y + step / (1.0 if length < 0.25 else 1.0 + length)
    return best


def _solved(matrix: Array, target: Array) -> Array:
    """Of a symmetric matrix with no eigenvalue below 1."""
    scale = 1.0 / np.sqrt(np.diag(matrix))
    made: Array = scale * cho_solve(cho_factor(matrix * scale[:, None] * scale), scale * target)
    return made


def bargain_residual(gramian: Array, weights: Array, alpha: float) -> float:
    """The largest of |(G x)_k x_k^(1/alpha) - 1|, over tasks that have a gradient."""
    held = np.diag(gramian) > 0
    x = np.maximum(weights[held], 0.0)
    if not held.any():
        return 0.0
    inner = gramian[np.ix_(held, held)] @ x
    return float(np.abs(inner * x ** (1.0 / alpha) - 1.0).max())
