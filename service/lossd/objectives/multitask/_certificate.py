"""The certificate of an answer: how well it solves its equation, and where it leads each task."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lossd.objectives.multitask._qp import smallest_in_hull
from lossd.objectives.multitask._spectrum import cosines_of
from lossd.objectives.multitask._tasks import Array, Tasks


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """What can be checked of an answer. All but the residual need a Gramian, and are None without.

    - `residual`: of the equation, relative; 0 is exact. None where there is nothing to solve.
    - `cosines`: (K,), of the combined direction with each task's gradient; 0 where either is 0.
    - `smallest_inner_product`: of the combined direction with a task's gradient. Below 0 a small
      step against the direction makes some loss larger.
    - `stationarity`: the least squared norm of a convex combination of the gradients. 0 is a
      Pareto-stationary point.
    - `conflicts`: (K, K), the cosines of the tasks' gradients with each other.
    """

    equation: str
    residual: float | None
    cosines: Array | None = None
    smallest_inner_product: float | None = None
    stationarity: float | None = None
    conflicts: Array | None = None

    @property
    def numbers(self) -> tuple[Array | float | None, ...]:
        """All that are numbers."""
        return (
            self.cosines,
            self.smallest_inner_product,
            self.stationarity,
            self.conflicts,
        )

    def as_json(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return {
            "equation": self.equation,
            "residual": self.residual,
            "cosines": None if self.cosines is None else self.cosines.tolist(),
            "smallest_inner_product": self.smallest_inner_product,
            "stationarity": self.stationarity,
            "conflicts": None if self.conflicts is None else self.conflicts.tolist(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Landscape:
    """What every method's certificate has in common."""

    stationarity: float
    conflicts: Array


def landscape(gramian: Array) -> Landscape:
    """Of a Gramian: the distance from Pareto stationarity, and the conflicts."""
    hull = smallest_in_hull(gramian)
    return Landscape(max(float(hull @ gramian @ hull), 0.0), cosines_of(gramian))


def certify(
    equation: str,
    residual: float | None,
    tasks: Tasks,
    weights: Array | None,
    direction: Array | None,
    common: Landscape | None,
) -> Certificate:
    """The certificate of weights, or of a direction that no weights make."""
    if tasks.gramian is None or common is None:
        return Certificate(equation, residual)
    if weights is not None:
        inner = tasks.gramian @ weights
        squared = float(weights @ inner)
    elif direction is not None and tasks.gradients is not None:
        inner = tasks.gradients @ direction
        squared = float(direction @ direction)
    else:
        return Certificate(equation, residual, None, None, common.stationarity, common.conflicts)
    lengths = np.sqrt(np.diag(tasks.gramian))
    length = np.sqrt(max(squared, 0.0))
    floor = 1e-13 * float(np.abs(weights) @ lengths) if weights is not None else 0.0
    if length <= floor:  # the gradients cancel, and what is left is rounding
        length = 0.0
    scale = lengths * length
    cosines = np.divide(inner, scale, out=np.zeros_like(inner), where=scale > 0)
    return Certificate(
        equation,
        residual,
        np.clip(cosines, -1.0, 1.0),
        float(inner.min()),
        common.stationarity,
        common.conflicts,
    )
