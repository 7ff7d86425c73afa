"""Multiple-gradient descent."""

from typing import Literal

import numpy as np
from pydantic import Field

from lossd.errors import MissingInput, OutOfRange
from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._qp import hull_residual, smallest_in_hull
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import check_above


class MgdaParams(MethodParams):
    """Parameters of `mgda`."""

    normalization: Literal["none", "l2", "loss", "loss+"] = Field(
        "none",
        description="What each gradient is divided by where the weights are sought: nothing, its "
        "norm, its loss, both. The weights multiply the losses as they are.",
    )


def _normalized(gramian: Array, losses: Array | None, params: MgdaParams) -> Array:
    divisors = np.ones(len(gramian))
    if params.normalization in ("l2", "loss+"):
        lengths = np.sqrt(np.diag(gramian))
        divisors = np.where(lengths > 0, lengths, 1.0)
    if params.normalization in ("loss", "loss+"):
        if losses is None:
            raise MissingInput(
                "a normalization by losses needs them", at="inputs.losses", expected="losses"
            )
        check_above(losses, np.zeros(len(losses)), "gradients are divided by it")
        divisors = divisors * losses
    made: Array = gramian / divisors[:, None] / divisors
    if not np.isfinite(made).all():
        raise OutOfRange("gradients divided by losses are beyond float64", at="inputs.losses")
    return made


def residual(weights: Array, gramian: Array, losses: Array | None, params: MgdaParams) -> float:
    """Of the optimality conditions of the least norm."""
    return hull_residual(_normalized(gramian, losses, params), weights)


@method(
    formula=r"\min_{w \ge 0,\, \sum_k w_k = 1} \Bigl\lVert \sum_k w_k g_k \Bigr\rVert^2",
    source="Désidéri 2012 (C. R. Acad. Sci.); Sener and Koltun 2018, arXiv:1810.04650, eq. 3",
    equation="optimality of the least norm: (G w)_k is at least w.G w for every k, with equality "
    "where w_k > 0; relative to the largest element of G",
    residual=residual,
)
def mgda(*, gramian: Array, losses: Array | None = None, params: MgdaParams) -> Solved:
    """The convex combination of the gradients of least norm: no task's loss rises along it.

    A task whose gradient is 0 gets all the weight: the point is Pareto-stationary.
    """
    return Solved(weights=smallest_in_hull(_normalized(gramian, losses, params)))
