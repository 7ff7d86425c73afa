"""Absolute error over that of a naive forecast."""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.errors import BadParams
from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.regression._lengths import ratio


class MaseParams(LossParams):
    """Parameters of `mase`."""

    season: int = Field(
        1,
        ge=1,
        description="How many steps back the naive forecast looks: 1 repeats the last value, 12 "
        "last year's month.",
    )


@loss(
    formula=r"\frac{|x_h - y_h|}{\frac{1}{T - m} \sum_{t=m+1}^{T} |z_t - z_{t-m}|}",
    source="Hyndman and Koehler 2006, International Journal of Forecasting 22, 679-688, section 3",
    units="errors of the naive forecast",
    card=Card(
        characteristics="l1, each row over its own scale: below 1 is better than the naive "
        "forecast was on the history.",
        use="Forecasts of many series of different scales, zeros and negative values allowed.",
        stability="The gradient is 1 / scale. A history that never changes has scale 0: +inf, "
        "without a gradient, unless the target is met.",
        data="Time series with a history of more than one season.",
    ),
    example=Example(
        {
            "prediction": [[2.5, 4.0], [1.0, 8.0]],
            "target": [[3.0, 5.0], [1.0, 6.0]],
            "history": [[1.0, 2.0, 2.5], [3.0, 5.0, 4.0]],
        }
    ),
)
def mase(
    prediction: Annotated[
        Float[Tensor, "rows horizon"], Arg(doc="Forecasts, a row per series.", gradient=True)
    ],
    target: Annotated[
        Float[Tensor, "rows horizon"],
        Arg(doc="True values, in the unit of the prediction.", gradient=True),
    ],
    history: Annotated[
        Float[Tensor, "rows time"],
        Arg(doc="Each series before its forecast, oldest first, in the same unit."),
    ],
    *,
    params: MaseParams,
) -> Float[Tensor, "rows horizon"]:
    """Absolute difference over the mean absolute seasonal difference of the row's history.

    One value per element. 0 / 0 is 0; the subgradient at equality is 0. Raises `BadParams` where
    the history is no longer than a season.
    """
    steps = history.shape[1] - params.season
    if steps < 1:
        raise BadParams(
            "the history is no longer than a season",
            at="params.season",
            expected=f"less than {history.shape[1]}, the steps of the history",
            got=str(params.season),
        )
    scale = (history[:, params.season :] - history[:, :steps]).abs().mean(1, keepdim=True)
    return ratio((prediction - target).abs(), scale.expand_as(prediction))
