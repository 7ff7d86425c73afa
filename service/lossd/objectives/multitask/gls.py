"""Geometric loss strategy."""

import numpy as np

from lossd.objectives.multitask._catalog import NoParams, Solved, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import check_above


def residual(weights: Array, losses: Array) -> float:
    """K w_k L_k is the geometric mean, for every task."""
    mean = np.exp(np.log(losses).mean())
    return float(np.abs(len(losses) * weights * losses / mean - 1.0).max())


@method(
    formula=r"\Bigl(\prod_k L_k\Bigr)^{1/K}",
    source="Chennupati et al. 2019, arXiv:1904.08492, section on its loss strategy",
    equation="K w_k L_k is the geometric mean of the losses, for every task",
    residual=residual,
)
def gls(*, losses: Array, count: int, params: NoParams) -> Solved:
    """The geometric mean of the losses: no loss's unit matters.

    Losses must be above 0: at 0 the mean has no derivative.
    """
    check_above(losses, np.zeros(count), "the geometric mean has no derivative there")
    logs = np.log(losses)
    mean = logs.mean()
    return Solved(weights=np.exp(mean - logs) / count, value=float(np.exp(mean)))
