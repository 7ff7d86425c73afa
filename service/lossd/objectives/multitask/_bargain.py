"""The x > 0 with G x = x^(-1/alpha): what Nash bargaining and alpha-fairness come to.

It is where the convex f(x) = x.G x / 2 - sum of phi(x), phi'(x) = x^(-1/alpha), is least. f grows
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

_STEPS = 500
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
    weights[held] = _scaled_root(inner, unit, alpha)
    return Bargain(weights, warnings)


def _scaled_root(gramian: Array, unit: Array, alpha: float) -> Array:
    """With x = s y and s_k = |g_k|^(-2 alpha / (1 + alpha)), y is near 1, and 1 if none overlap.

    Row k times s_k^(1/alpha) is A y = y^(-1/alpha) with a symmetric A only where all scales are
    alike or alpha is 1, so that the rows are scaled by s_k and each has a factor of its own.
    """
    lengths = np.sqrt(np.diag(gramian))
    scales = lengths ** (-2.0 * alpha / (1.0 + alpha))
    matrix = unit * (lengths * scales)[:, None] * (lengths * scales)
    factors = scales ** (1.0 - 1.0 / alpha)
    size = float(factors.max())
    found: Array = scales * _root(matrix / size, factors / size, 1.0 / alpha)
    return found


def _root(matrix: Array, factors: Array, power: float) -> Array:
    """The y > 0 with matrix @ y = factors * y^-power, by Newton steps cut back to fall."""
    y = np.ones(len(matrix))
    best, miss, vain = y, np.inf, 0
    for _ in range(_STEPS):
        barrier = factors * y**-power
        slope = matrix @ y - barrier
        error = float(np.abs(slope / barrier).max())
        vain = 0 if error < 0.5 * miss else vain + 1
        if error < miss:
            best, miss = y, error
        if error <= 4 * np.finfo(float).eps or (error < 1e-9 and vain > 2):
            break
        step = _newton_step(matrix, power * barrier / y, slope)
        decrement = float(-(slope @ step))
        if not decrement > 0.0:
            break
        y, moved = _cut_back(matrix, factors, power, y, step, decrement)
        if not moved:
            break
    return best


def _newton_step(matrix: Array, curvature: Array, slope: Array) -> Array:
    """-(matrix + diag(curvature))^-1 slope, with the diagonal brought to 1 first."""
    scale = 1.0 / np.sqrt(np.diag(matrix) + curvature)
    hessian = (matrix + np.diag(curvature)) * scale[:, None] * scale
    step: Array = -scale * cho_solve(cho_factor(hessian), scale * slope)
    return step


def _cut_back(
    matrix: Array, factors: Array, power: float, y: Array, step: Array, decrement: float
) -> tuple[Array, bool]:
    """The point a step on, at most as far as f falls enough, and whether it is another one."""
    shrink = float((step / y).min())
    share = 1.0 if shrink > -0.95 else -0.95 / shrink
    # The fall of f is rounding where steps are small: there Newton's own step is right.
    if float(np.abs(step / y).max()) < 1e-3:
        return y + step, bool((y + step != y).any())
    here = _height(matrix, factors, power, y)
    for _ in range(60):
        there = y + share * step
        if _height(matrix, factors, power, there) <= here - 1e-4 * share * decrement:
            return there, True
        share *= 0.5
    return y, False


def _height(matrix: Array, factors: Array, power: float, y: Array) -> float:
    phi = np.log(y) if power == 1.0 else y ** (1.0 - power) / (1.0 - power)
    return float(0.5 * y @ matrix @ y - factors @ phi)


def bargain_residual(gramian: Array, weights: Array, alpha: float) -> float:
    """The largest of |(G x)_k x_k^(1/alpha) - 1|, over tasks that have a gradient."""
    held = np.diag(gramian) > 0
    x = np.maximum(weights[held], 0.0)
    if not held.any():
        return 0.0
    inner = gramian[np.ix_(held, held)] @ x
    return float(np.abs(inner * x ** (1.0 / alpha) - 1.0).max())
