"""Weights that do not change."""

from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._vectors import per_task


class FixedParams(MethodParams):
    """Parameters of `fixed`."""

    weights: list[float] = Field(max_length=256, description="One per task, as they are used.")


@method(
    formula=r"\sum_k w_k L_k",
    source="a weighted sum",
    equation="none: nothing is solved",
)
def fixed(*, count: int, params: FixedParams) -> Solved:
    """A weighted sum of the losses, with the weights that are given."""
    return Solved(weights=per_task("weights", params.weights, count, 1.0))
