"""Gradient sign dropout."""

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._catalog import Draw, MethodParams, Solved, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import per_task


class GradDropParams(MethodParams):
    """Parameters of `graddrop`."""

    leak: list[float] | None = Field(
        None, max_length=256, description="Share of each task's gradient that always stays. 0 each."
    )


@method(
    formula=r"d = \sum_k \bigl(l_k + (1 - l_k) m_k \bigr) g_k,\quad m_k = [P > U][g_k > 0] + "
    r"[P < U][g_k < 0],\ P = \tfrac12 \Bigl(1 + \frac{\sum_k g_k}{\sum_k |g_k|} \Bigr)",
    source="Chen et al. 2020, arXiv:2010.06808, algorithm 1",
    equation="none: nothing is solved",
)
def graddrop(*, gradients: Array, count: int, draw: Draw, params: GradDropParams) -> Solved:
    """At each parameter the gradients of one sign only are kept, drawn by how pure the sign is.

    There are no weights: the combined gradient is answered. Needs the gradients, not a Gramian.
    """
    leak = per_task("leak", params.leak, count, 0.0)
    total, size = gradients.sum(axis=0), np.abs(gradients).sum(axis=0)
    purity = 0.5 * (1.0 + np.divide(total, size, out=np.zeros_like(total), where=size > 0))
    drawn = draw.generator().random(gradients.shape[1])
    up, down = purity > drawn, purity < drawn
    direction = np.zeros_like(total)
    for share, gradient in zip(leak, gradients, strict=True):
        mask = up & (gradient > 0) | down & (gradient < 0)
        direction += (share + (1.0 - share) * mask) * gradient
    return Solved(weights=None, direction=direction)
