"""Pinball loss of several quantiles of one target, with a penalty for quantiles that cross."""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams


class MultiQuantileParams(LossParams):
    """Parameters of `multi_quantile`."""

    crossing_weight: float = Field(
        0.0, ge=0, description="What each unit costs by which a higher quantile is below a lower."
    )


@loss(
    formula=r"\frac{1}{K} \sum_k \max(\tau_k e_k, (\tau_k - 1) e_k) + "
    r"w \sum_{k<K} \max(0, x_{(k)} - x_{(k+1)}),\quad e_k = y - x_k",
    source="Koenker and Bassett 1978, Econometrica 46, 33-50; averaged over quantiles as in Wen et "
    "al. 2017, arXiv:1711.11053; crossing: Liu and Wu 2009, Statistics and Its Interface 2, 299",
    units="units of the target",
    card=Card(
        characteristics="Convex, piecewise linear. With many quantiles it nears half of the CRPS.",
        use="A whole predictive distribution without a family: fans, intervals, medians at once.",
        stability="Gradients are bounded by 1 / K, and by crossing_weight more where neighbours "
        "cross; a weight above 1 / K makes crossing never pay.",
        data="Any scale and outliers; far quantiles need many rows.",
    ),
    example=Example(
        {
            "prediction": [[1.0, 2.5, 2.0], [-1.0, 0.0, 1.5]],
            "target": [2.0, 0.5],
            "quantiles": [0.1, 0.5, 0.9],
        },
        {"crossing_weight": 1.0},
    ),
)
def multi_quantile(
    prediction: Annotated[
        Float[Tensor, "rows quantiles"], Arg(doc="A prediction per quantile.", gradient=True)
    ],
    target: Annotated[
        Float[Tensor, "rows"], Arg(doc="True values, in the unit of the prediction.", gradient=True)
    ],
    quantiles: Annotated[
        Float[Tensor, "quantiles"],
        Arg(doc="The quantiles, as probabilities, in any order.", low=0, high=1),
    ],
    *,
    params: MultiQuantileParams,
) -> Float[Tensor, "rows"]:
    """Mean pinball loss over the quantiles, and what crossings cost: one value per row.

    Neighbours are compared in the order of their probabilities. Subgradients at kinks are 0.
    """
    if not prediction.shape[1]:
        return prediction.sum(1) + 0.0 * target
    missing = target.unsqueeze(1) - prediction
    sides = quantiles * positive_part(missing) + (1.0 - quantiles) * positive_part(-missing)
    value = sides.mean(1)
    if params.crossing_weight:
        ordered = prediction[:, quantiles.argsort(stable=True)]
        crossed = positive_part(ordered[:, :-1] - ordered[:, 1:]).sum(1)
        value = value + params.crossing_weight * crossed
    return value
