"""Symmetric mean absolute percentage error."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class SmapeParams(LossParams):
    """Parameters of `smape`."""

    percent: bool = Field(True, description="Whether 1 is answered as 100.")
    halve: bool = Field(
        True,
        description="Whether to divide by half of |x| + |y| (at most 200 percent) or by all of it "
        "(at most 100).",
    )


@loss(
    formula=r"200\, \frac{|x - y|}{|x| + |y|}",
    source="Makridakis and Hibon 2000, The M3-Competition, International Journal of Forecasting "
    "16, 451-476, appendix A",
    units="percent",
    card=Card(
        characteristics="Relative and bounded; not convex, and for all its name it is dearer to "
        "be too low than too high.",
        use="Forecasts that are judged by it, as in the M competitions.",
        stability="Bounded value; the gradient grows as both sides near 0, and is 0 at equality. "
        "Unless both are on one side of 0 the value is the bound and has no gradient.",
        data="Positive targets.",
    ),
    example=Example({"prediction": [[2.5, 4.0], [1.0, 8.0]], "target": [[3.0, 5.0], [1.0, 6.0]]}),
)
def smape(
    prediction: Prediction, target: Target, *, params: SmapeParams
) -> Float[Tensor, "rows *rest"]:
    """Absolute difference over the mean size of both sides, in percent: one value per element.

    Two zeros cost 0. The subgradient at equality, and where either side is 0, is 0.
    """
    # Of one sign, |x| + |y| is |x + y|; else the ratio is 1 and nothing needs to cancel.
    alike = prediction.sign() * target.sign() > 0
    x, y = prediction.masked_fill(~alike, 1.0), target.masked_fill(~alike, 1.0)
    share = torch.where(alike, (x - y).abs() / (x + y).abs(), (prediction != target).to(x.dtype))
    return (200.0 if params.percent else 2.0) / (1.0 if params.halve else 2.0) * share
