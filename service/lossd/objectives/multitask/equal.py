"""Equal weights."""

from typing import Literal

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method


class EqualParams(MethodParams):
    """Parameters of `equal`."""

    total: Literal["tasks", "one"] = Field(
        "tasks", description="What the weights sum to: tasks is K, the sum; one is the mean."
    )


@method(
    formula=r"\sum_k L_k",
    source="the sum of the losses; of total one their mean",
    equation="none: nothing is solved",
)
def equal(*, count: int, params: EqualParams) -> Solved:
    """The sum of the losses, or their mean."""
    return Solved(weights=np.full(count, 1.0 if params.total == "tasks" else 1.0 / count))
