"""Log barrier: a constraint that must hold, g(x) <= 0, as a term of the loss."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams


class LogBarrierParams(LossParams):
    """Parameters of `log_barrier`."""

    t: float = Field(5.0, gt=0, le=1e6, description="Steepness; the term vanishes as t grows.")
    extended: bool = Field(
        True, description="Whether a line goes on from -1 / t^2, for constraints that do not hold."
    )


@loss(
    formula=r"-\frac1t \log(-g) \text{ up to } g = -\frac{1}{t^2}, \text{ then }"
    r" t g - \frac1t \log \frac{1}{t^2} + \frac1t",
    source="Kervadec et al. 2022, arXiv:1904.04205, eq. 7; Boyd and Vandenberghe 2004, Convex "
    "Optimization, section 11.2",
    units="1",
    card=Card(
        characteristics="Convex, smooth, growing; it holds a constraint off before it is broken.",
        use="Constraints on sizes, budgets or fairness; t is raised during training.",
        stability="Extended it is finite everywhere. Else a constraint that does not hold costs "
        "+inf, without gradient.",
        data="The values of constraints, of which each should be negative.",
    ),
    example=Example({"constraints": [-1.0, -0.03, 0.5]}),
)
def log_barrier(
    constraints: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="g: negative where the constraint holds.", gradient=True),
    ],
    *,
    params: LogBarrierParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus log(-g) over t where a constraint holds well, and a line, or +inf, elsewhere.

    Returns one value per constraint, of either sign.
    """
    t = params.t
    border = -1.0 / t**2 if params.extended else 0.0
    inside = constraints <= border if params.extended else constraints < 0
    barrier = -torch.log(-constraints.masked_fill(~inside, -1.0)) / t
    if not params.extended:
        return torch.where(inside, barrier, torch.inf)
    line = t * constraints + (2.0 * math.log(t) + 1.0) / t
    return torch.where(inside, barrier, line)
