"""Impartial multi-task learning by the losses."""

from typing import Annotated

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import per_task


class ImtlLParams(MethodParams):
    """Parameters of `imtl_l`."""

    log_scales: list[Annotated[float, Field(ge=-300, le=300)]] | None = Field(
        None, max_length=256, description="s, one per task; they are the caller's to learn. 0 each."
    )


@method(
    formula=r"\sum_k e^{s_k} L_k - s_k",
    source="Liu et al. 2021, Towards Impartial Multi-task Learning (ICLR), its loss balance",
    equation="none: the weights are given by the parameters",
)
def imtl_l(*, losses: Array, count: int, params: ImtlLParams) -> Solved:
    """Each loss is multiplied by a scale, which the caller learns beside the model.

    Where the scales are learned, all scaled losses come to 1. It is twice uncertainty_weighting at
    log-variances -s. The answer has the derivatives with respect to the log-scales.
    """
    s = per_task("log_scales", params.log_scales, count, 0.0)
    weights = np.exp(s)
    return Solved(
        weights=weights,
        value=float(weights @ losses - s.sum()),
        gradients={"log_scales": weights * losses - 1.0},
    )
