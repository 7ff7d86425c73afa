"""Impartial multi-task learning by the gradients."""

import numpy as np

from lossd.objectives.multitask._catalog import NoParams, Solved, method
from lossd.objectives.multitask._spectrum import cosines_of, kept, pseudo_inverse, spread
from lossd.objectives.multitask._tasks import Array
from lossd.schema.call import Warned


def residual(weights: Array, gramian: Array) -> float:
    """How far the projections on the gradients' directions differ."""
    return spread(gramian, weights)


@method(
    formula=r"d \cdot \tfrac{g_k}{\lVert g_k \rVert} \text{ equal for all } k,\quad "
    r"w \propto G^{+} \sqrt{\mathrm{diag}\, G},\ \sum_k w_k = 1",
    source="Liu et al. 2021, Towards Impartial Multi-task Learning (ICLR), its gradient balance; "
    "with a pseudoinverse as in Quinton and Rey 2024, arXiv:2406.16232",
    equation="the combined direction has the same projection on every gradient's direction: the "
    "largest difference, relative to the sum of |w_k| |g_k|",
    residual=residual,
)
def imtl_g(*, gramian: Array, params: NoParams) -> Solved:
    """The combination that projects alike on every gradient, with a sum of 1.

    Weights may be negative. Where gradients depend on each other the pseudoinverse gives the least
    squares answer. Where the sum is 0 there is none: the weights are 0, with a warning.
    """
    raw = _balanced(gramian)
    total = float(raw.sum())
    if abs(total) <= 1e-12 * float(np.abs(raw).sum()):
        detail = "no such combination has a sum of 1: the weights are 0"
        return Solved(weights=np.zeros(len(gramian)), warnings=(Warned("no_combination", detail),))
    return Solved(weights=raw / total)


def _balanced(gramian: Array) -> Array:
    """The pseudoinverse times the lengths; by the cosines where no gradient depends on others."""
    lengths = np.sqrt(np.diag(gramian))
    held = lengths > 0
    found = np.zeros(len(gramian))
    if not held.any():
        return found
    inner, some = gramian[np.ix_(held, held)], lengths[held]
    cosines = cosines_of(inner)
    if kept(np.linalg.eigvalsh(cosines)).all():
        found[held] = np.linalg.solve(cosines, np.ones(len(some))) / some
    else:
        found[held] = pseudo_inverse(inner) @ some
    return found
