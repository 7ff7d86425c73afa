"""Projection of the mean gradient on the dual cone."""

from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._qp import dual_cone_residual, factor, project_on_dual_cone
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import per_task


class DualProjParams(MethodParams):
    """Parameters of `dualproj`."""

    preference: list[float] | None = Field(
        None, max_length=256, description="The combination that is projected. 1/K each: the mean."
    )


def residual(weights: Array, gramian: Array, count: int, params: DualProjParams) -> float:
    """Of the conditions of the projection."""
    preference = per_task("preference", params.preference, count, 1.0 / count)
    return dual_cone_residual(gramian, preference, weights)


@method(
    formula=r"\arg\min_{d:\, J d \ge 0} \Bigl\lVert d - \sum_k u_k g_k \Bigr\rVert",
    source="Lopez-Paz and Ranzato 2017, arXiv:1706.08840, eq. 11, with the mean in place of the "
    "new task's gradient",
    equation="the projection w.J of u.J: w >= u, G w >= 0, (w - u).G w = 0; relative",
    residual=residual,
)
def dualproj(*, gramian: Array, count: int, params: DualProjParams) -> Solved:
    """The mean gradient, projected to the nearest direction that conflicts with no task.

    Where gradients depend on each other several weights give the same direction; one is answered.
    """
    preference = per_task("preference", params.preference, count, 1.0 / count)
    return Solved(weights=project_on_dual_cone(factor(gramian), preference))
