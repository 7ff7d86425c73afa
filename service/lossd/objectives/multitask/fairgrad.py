"""Alpha-fair resource allocation."""

from pydantic import Field

from lossd.objectives.multitask._bargain import bargain, bargain_residual
from lossd.objectives.multitask._catalog import MethodParams, Solved, method
from lossd.objectives.multitask._tasks import Array


class FairGradParams(MethodParams):
    """Parameters of `fairgrad`."""

    alpha: float = Field(
        1.0,
        ge=0.2,
        le=50,
        description="Fairness: 1 is proportional, as in nash_mtl; more favours the worst task.",
    )


def residual(weights: Array, gramian: Array, params: FairGradParams) -> float:
    """The largest of |(G w)_k w_k^(1/alpha) - 1|."""
    return bargain_residual(gramian, weights, params.alpha)


@method(
    formula=r"G w = w^{-1 / \alpha},\quad w > 0",
    source="Ban and Ji 2024, arXiv:2402.15638, eq. 4",
    equation="(G w)_k w_k^(1/alpha) = 1 for every task that has a gradient",
    residual=residual,
)
def fairgrad(*, gramian: Array, params: FairGradParams) -> Solved:
    """The direction that shares the tasks' gains alpha-fairly.

    The Gramian may be singular: the solution is unique unless a convex combination of the
    gradients is 0. There, at a Pareto-stationary point, is none, and the weights are of such a
    combination, with a warning. A task whose gradient is 0 is left out, with a weight of 0. Where
    alpha is extreme and norms are orders of magnitude apart, float64 may not hold the solution: a
    warning says so.
    """
    found = bargain(gramian, params.alpha)
    return Solved(weights=found.weights, warnings=found.warnings)
