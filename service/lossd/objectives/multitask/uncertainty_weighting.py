"""Weights from learned variances."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lossd.errors import BadParams
from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import per_task


class UncertaintyParams(MethodParams):
    """Parameters of `uncertainty_weighting`."""

    log_variances: list[Annotated[float, Field(ge=-300, le=300)]] | None = Field(
        None, max_length=256, description="s, one per task; they are the caller's to learn. 0 each."
    )
    kinds: list[Literal["regression", "classification"]] | None = Field(
        None,
        max_length=256,
        description="regression: a Gaussian likelihood, e^-s L / 2; classification: a scaled "
        "softmax, e^-s L. Default: regression each.",
    )


@method(
    formula=r"\sum_k \tfrac12 e^{-s_k} L_k + \tfrac12 s_k,\quad s_k = \log \sigma_k^2",
    source="Kendall, Gal and Cipolla 2018, arXiv:1705.07115, eq. 7 and 10",
    equation="none: the weights are given by the parameters",
)
def uncertainty_weighting(*, losses: Array, count: int, params: UncertaintyParams) -> Solved:
    """Each loss is divided by twice its variance, which the caller learns beside the model.

    The answer has the derivatives with respect to the log-variances, for the caller's optimizer.
    The value goes below 0 where variances are small: that is meant.
    """
    s = per_task("log_variances", params.log_variances, count, 0.0)
    kinds = params.kinds or ["regression"] * count
    if len(kinds) != count:
        raise BadParams("not one kind per task", at="params.kinds", expected=f"{count} kinds")
    half = np.array([0.5 if kind == "regression" else 1.0 for kind in kinds])
    weights = half * np.exp(-s)
    return Solved(
        weights=weights,
        value=float(weights @ losses + 0.5 * s.sum()),
        gradients={"log_variances": 0.5 - weights * losses},
    )
