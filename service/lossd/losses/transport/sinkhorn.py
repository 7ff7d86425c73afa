"""Entropic optimal transport: the least cost of moving one set of masses onto another."""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.transport._sinkhorn import (
    SourceWeights,
    TargetWeights,
    masses,
    transport_cost,
)


class SinkhornParams(LossParams):
    """Parameters of `sinkhorn`."""

    regularization: float = Field(
        0.1, gt=0, description="epsilon, in units of the cost: blurs the plan."
    )
    iterations: int = Field(
        200, ge=1, le=1000, description="Sinkhorn steps; small regularization needs more."
    )


@loss(
    formula=r"\min_{P \in U(a, b)} \langle P, C \rangle + "
    r"\epsilon\, \mathrm{KL}(P \,\|\, a b^\top)",
    source="Cuturi 2013, arXiv:1306.0895, eq. 2 with the divergence in place of the entropy; "
    "gradient: Peyre and Cuturi 2019, arXiv:1803.00567, proposition 4.6",
    units="unit of the cost",
    card=Card(
        characteristics="Convex in the masses, concave in the costs; its gradient is the plan.",
        use="Matching of sets, alignment of distributions, structured costs between classes.",
        stability="In logarithms, so small regularization does not underflow; it needs iterations "
        "in proportion to the largest cost over regularization.",
        data="A cost matrix per row; masses that sum to 1 on both sides.",
    ),
    example=Example({"costs": [[[0.0, 1.0], [1.0, 0.5]]]}, {"regularization": 0.5}),
)
def sinkhorn(
    costs: Annotated[
        Float[Tensor, "rows sources targets"],
        Arg(doc="Cost of moving a unit from each source to each target.", gradient=True),
    ],
    source_weights: SourceWeights | None = None,
    target_weights: TargetWeights | None = None,
    *,
    params: SinkhornParams,
) -> Float[Tensor, "rows"]:
    """The regularised cost of transport, of each row by itself.

    Returns one value per row, in units of the cost; 0 without sources or targets.
    """
    sources, targets = masses(source_weights, costs, 1), masses(target_weights, costs, 2)
    return transport_cost(costs, sources, targets, params.regularization, params.iterations)
