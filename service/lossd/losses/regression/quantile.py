"""Quantile (pinball) loss: its minimiser is a quantile of the target."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class QuantileParams(LossParams):
    """Parameters of `quantile`."""

    tau: float = Field(
        0.5, gt=0, lt=1, description="Which quantile, as a probability. 0.5 is half of l1."
    )


@loss(
    formula=r"\max(\tau e, (\tau - 1) e),\quad e = y - x",
    source="Koenker and Bassett 1978, Econometrica 46, 33-50",
    units="units of the target",
    card=Card(
        characteristics="Convex, piecewise linear: too low costs tau, too high 1 - tau per unit.",
        use="Prediction intervals, forecasts of demand: anything that asks for a quantile. "
        "multi_quantile takes several at once.",
        stability="The gradient is -tau or 1 - tau, 0 at equality. Extreme tau learn slowly.",
        data="Any scale and any outliers; far quantiles need many rows.",
    ),
    example=Example(
        {"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]},
        {"tau": 0.9},
    ),
)
def quantile(
    prediction: Prediction, target: Target, *, params: QuantileParams
) -> Float[Tensor, "rows *rest"]:
    """Pinball loss, the difference weighed by its side: one value per element.

    The subgradient at equality is 0.
    """
    missing = target - prediction
    tau = params.tau
    return tau * positive_part(missing) + (1.0 - tau) * positive_part(-missing)
