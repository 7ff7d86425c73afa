"""Gradient surgery."""

from typing import Literal

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._tasks import Array


class PCGradParams(MethodParams):
    """Parameters of `pcgrad`."""

    reduction: Literal["sum", "mean"] = Field(
        "sum", description="Of the projected gradients: their sum, as in the paper, or their mean."
    )


@method(
    formula=r"\sum_i g_i^{PC},\quad g_i^{PC} \leftarrow g_i^{PC} - "
    r"\frac{g_i^{PC} \cdot g_j}{\lVert g_j \rVert^2} g_j \text{ where } g_i^{PC} \cdot g_j < 0",
    source="Yu et al. 2020, arXiv:2001.06782, algorithm 1",
    equation="each projected gradient is orthogonal to the one it was projected against: the "
    "largest cosine between them just after",
)
def pcgrad(*, gramian: Array, orders: list[list[int]], params: PCGradParams) -> Solved:
    """Each gradient is projected onto the normal plane of those that it conflicts with, in turn.

    The order matters. Without a seed or a permutation tasks are met as they stand.
    """
    count = len(gramian)
    total, residual = np.zeros(count), 0.0
    for i, order in enumerate(orders):
        mine = np.zeros(count)
        mine[i] = 1.0
        for j in order:
            inner = float(gramian[j] @ mine)
            if j == i or inner >= 0.0:
                continue
            mine[j] -= inner / gramian[j, j]
            length = np.sqrt(max(float(mine @ gramian @ mine), 0.0) * gramian[j, j])
            if length > 1e-7 * gramian[j, j]:
                residual = max(residual, abs(float(gramian[j] @ mine)) / length)
        total += mine
    scale = 1.0 if params.reduction == "sum" else 1.0 / count
    return Solved(weights=total * scale, residual=residual)
