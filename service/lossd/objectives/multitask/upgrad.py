"""Unconflicting projection of each gradient."""

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._qp import dual_cone_residual, factor, project_on_dual_cone
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import per_task


class UPGradParams(MethodParams):
    """Parameters of `upgrad`."""

    preference: list[float] | None = Field(
        None, max_length=256, description="What each projected gradient is multiplied by. 1/K each."
    )


@method(
    formula=r"\sum_k u_k \, \pi(g_k),\quad \pi(g) = \arg\min_{d:\, J d \ge 0} \lVert d - g \rVert",
    source="Quinton and Rey 2024, arXiv:2406.16232, section on UPGrad",
    equation="of each projection v.J of a gradient e.J: v >= e, G v >= 0, (v - e).G v = 0; "
    "relative",
)
def upgrad(*, gramian: Array, count: int, params: UPGradParams) -> Solved:
    """Each gradient is projected to where it conflicts with no task; the mean of these.

    Where gradients depend on each other several weights give the same direction; one is answered.
    """
    preference = per_task("preference", params.preference, count, 1.0 / count)
    total, residual = np.zeros(count), 0.0
    columns = factor(gramian)
    for k, unit in enumerate(np.eye(count)):
        if (gramian[k] >= 0).all():
            total[k] += preference[k]
            continue
        projected = project_on_dual_cone(columns, unit)
        residual = max(residual, dual_cone_residual(gramian, unit, projected))
        total += preference[k] * projected
    return Solved(weights=total, residual=residual)
