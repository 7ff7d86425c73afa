"""Random loss weighting."""

from typing import Literal

from pydantic import Field

from lossd.objectives.multitask._catalog import Draw, MethodParams, Solved, method
from lossd.objectives.multitask._tasks import Array
from lossd.objectives.multitask._vectors import softmax


class RlwParams(MethodParams):
    """Parameters of `rlw`."""

    distribution: Literal["normal", "dirichlet"] = Field(
        "normal",
        description="normal: the softmax of standard normal numbers; dirichlet: uniform on the "
        "simplex.",
    )


def residual(weights: Array) -> float:
    """The weights sum to 1."""
    return abs(float(weights.sum()) - 1.0)


@method(
    formula=r"w = \mathrm{softmax}(\xi),\quad \xi_k \sim N(0, 1)",
    source="Lin et al. 2022, arXiv:2111.10603, algorithm 2",
    equation="the weights sum to 1",
    residual=residual,
)
def rlw(*, count: int, draw: Draw, params: RlwParams) -> Solved:
    """Random weights, anew at each seed: a baseline that others must beat.

    Send another seed with each step, its number for instance.
    """
    generator = draw.generator()
    if params.distribution == "dirichlet":
        shares = generator.standard_exponential(count)
        return Solved(weights=shares / shares.sum())
    return Solved(weights=softmax(generator.standard_normal(count)))
