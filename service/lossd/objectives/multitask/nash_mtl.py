"""Multi-task learning as a bargaining game."""

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._bargain import bargain, bargain_residual
from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._tasks import Array


class NashMtlParams(MethodParams):
    """Parameters of `nash_mtl`."""

    maximum_norm: float | None = Field(
        None, gt=0, description="What the combined gradient is cut back to, where it is longer."
    )


def residual(weights: Array, gramian: Array, params: NashMtlParams) -> float:
    """The largest of |(G w)_k w_k - 1|; where the norm is cut back, of w before that."""
    if params.maximum_norm is not None:
        # (G w)_k w_k is the same for all k before and after, and K times it the squared norm.
        squared = float(weights @ gramian @ weights)
        tasks = int((np.diag(gramian) > 0).sum())
        weights = weights * np.sqrt(tasks / squared) if squared > 0 else weights
    return bargain_residual(gramian, weights, 1.0)


@method(
    formula=r"G w = 1 / w,\quad w > 0",
    source="Navon et al. 2022, arXiv:2202.01017, eq. 2",
    equation="(G w)_k w_k = 1 for every task that has a gradient; with a maximum norm, of w before "
    "it is cut back",
    residual=residual,
)
def nash_mtl(*, gramian: Array, params: NashMtlParams) -> Solved:
    """The Nash bargaining solution: the product of the tasks' gains is largest.

    Multiplying one task's loss changes nothing for the others. The Gramian may be singular: the
    solution is unique unless a convex combination of the gradients is 0. There, at a
    Pareto-stationary point, is none, and the weights are of such a combination, with a warning. A
    task whose gradient is 0 is left out, with a weight of 0.
    """
    found = bargain(gramian, 1.0)
    weights = found.weights
    if params.maximum_norm is not None:
        norm = np.sqrt(max(float(weights @ gramian @ weights), 0.0))
        weights = weights * min(1.0, params.maximum_norm / norm) if norm > 0 else weights
    return Solved(weights=weights, warnings=found.warnings)
