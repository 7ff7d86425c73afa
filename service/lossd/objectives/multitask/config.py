"""Conflict-free inverse gradients."""

import numpy as np
from pydantic import Field

from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._spectrum import cosines_of, pseudo_inverse, spread
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import per_task
from lossd.schema.call import Warned


class ConfigParams(MethodParams):
    """Parameters of `config`."""

    preference: list[float] | None = Field(
        None, max_length=256, description="What the cosines are in proportion to. 1 each."
    )


def residual(weights: Array, gramian: Array, count: int, params: ConfigParams) -> float:
    """How far the cosines are from the preference's proportions."""
    return spread(gramian, weights, per_task("preference", params.preference, count, 1.0))


@method(
    formula=r"d = \Bigl(\sum_k g_k \cdot \hat d \Bigr) \hat d,\quad "
    r"\hat d \propto U^{+} p,\ U_k = g_k / \lVert g_k \rVert",
    source="Liu, Chu and Thuerey 2024, arXiv:2408.11104, eq. 2",
    equation="the cosines with the gradients are in proportion to the preference: the largest "
    "difference, relative to the size of what is added up",
    residual=residual,
)
def config(*, gramian: Array, count: int, params: ConfigParams) -> Solved:
    """The direction of one cosine with every gradient, as long as their projections add up to.

    Where gradients depend on each other the pseudoinverse gives the least squares answer.
    """
    preference = per_task("preference", params.preference, count, 1.0)
    lengths = np.sqrt(np.diag(gramian))
    inverse = np.divide(1.0, lengths, out=np.zeros(count), where=lengths > 0)
    raw = inverse * (pseudo_inverse(cosines_of(gramian)) @ preference)
    inner = gramian @ raw
    squared = float(raw @ inner)
    if squared <= 1e-26 * float(np.abs(raw) @ lengths) ** 2:
        detail = "no direction has those cosines: the weights are 0"
        return Solved(weights=np.zeros(count), warnings=(Warned("no_combination", detail),))
    return Solved(weights=raw * (float(inner.sum()) / squared))
