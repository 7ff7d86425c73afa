"""Interval score (Winkler): the width of a prediction interval, and what it misses."""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Target
from lossd.losses._ops import positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams


class IntervalScoreParams(LossParams):
    """Parameters of `interval_score`."""

    alpha: float = Field(
        0.1, gt=0, lt=1, description="Share of targets that may lie outside: 0.1 is a 90% interval."
    )


@loss(
    formula=r"(u - l) + \frac{2}{\alpha} \max(0, l - y) + \frac{2}{\alpha} \max(0, y - u)",
    source="Winkler 1972, JASA 67, 187-191; Gneiting and Raftery 2007, JASA 102, 359-378, eq. 43",
    units="units of the target",
    card=Card(
        characteristics="Proper: least where both ends are the quantiles alpha / 2 and 1 - alpha / "
        "2. Their pinball losses, times 2 / alpha.",
        use="Prediction intervals, as a training loss or as a report.",
        stability="Piecewise linear; gradients are within 2 / alpha. Ends that cross cost what "
        "they miss on both sides.",
        data="Any scale and outliers; a small alpha needs many rows.",
    ),
    example=Example(
        {"lower": [[1.0, -1.0]], "upper": [[2.0, 0.5]], "target": [[2.5, 0.0]]}, {"alpha": 0.2}
    ),
)
def interval_score(
    lower: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Lower ends of the intervals.", gradient=True)
    ],
    upper: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Upper ends of the intervals.", gradient=True)
    ],
    target: Target,
    *,
    params: IntervalScoreParams,
) -> Float[Tensor, "rows *rest"]:
    """Width of the interval, and 2 / alpha times what the target is outside: one per element.

    The subgradient of what is missed is 0 at the ends.
    """
    missed = positive_part(lower - target) + positive_part(target - upper)
    return (upper - lower) + 2.0 / params.alpha * missed
