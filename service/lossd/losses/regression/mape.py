"""Mean absolute percentage error."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.regression._lengths import ratio


class MapeParams(LossParams):
    """Parameters of `mape`."""

    percent: bool = Field(True, description="Whether 1 is answered as 100.")
    floor: float = Field(
        0.0, ge=0, description="Least size of a target to divide by, in units of the target."
    )


@loss(
    formula=r"100\, \frac{|x - y|}{\max(|y|, \text{floor})}",
    source="Hyndman and Koehler 2006, International Journal of Forecasting 22, 679-688, section 2",
    units="percent of the target",
    card=Card(
        characteristics="Relative, so series of any scale count alike; too high is dearer than "
        "too low, which no forecast of positive values takes beyond 100.",
        use="Reports and forecasts that are judged in percent. msle and smape are less lopsided.",
        stability="The gradient is 100 / |y|: targets near 0 dominate, which floor bounds. Without "
        "it a target of 0 costs +inf, without a gradient, unless it is met.",
        data="Positive targets, well away from 0.",
    ),
    example=Example({"prediction": [[2.5, 4.0], [1.0, 8.0]], "target": [[3.0, 5.0], [1.0, 6.0]]}),
)
def mape(
    prediction: Prediction, target: Target, *, params: MapeParams
) -> Float[Tensor, "rows *rest"]:
    """Absolute difference over the size of the target, in percent: one value per element.

    0 / 0 is 0. Subgradients at kinks are 0.
    """
    size = target.abs()
    if params.floor:
        size = torch.where(size > params.floor, size, torch.full_like(size, params.floor))
    value = ratio((prediction - target).abs(), size)
    return 100.0 * value if params.percent else value
