"""The general robust loss: one family from squared error to Welsch, its shape a number."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._ops import log1p_square
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.robust._residuals import Scale

_WELSCH = -(2.0**50)  # below it the shape is the limit's, to the last digit
_SERIES = 0.25  # up to where ten terms of the series of expm1(t) / t are exact in float64


class GeneralRobustParams(LossParams):
    """Parameters of `general_robust`."""

    alpha: float = Field(
        1.0,
        le=2,
        description="Shape, unless the input alpha is given: 2 is half of mse, 1 charbonnier, 0 "
        "cauchy, -2 geman_mcclure; far below 0 it is welsch.",
    )
    scale: Scale = 1.0


@loss(
    formula=r"\frac{|\alpha - 2|}{\alpha} \left(\left(\frac{(d / c)^2}{|\alpha - 2|} + "
    r"1\right)^{\alpha / 2} - 1\right),\quad d = x - y",
    source="Barron 2019, arXiv:1701.03077, eq. 8",
    units="none",
    card=Card(
        characteristics="d^2 / (2 c^2) near 0 for every alpha; the smaller alpha, the less an "
        "outlier pulls. alpha and scale may be inputs, with gradients.",
        use="Where it is not known how robust to be: sweep alpha, anneal it, or learn it with a "
        "penalty of your own, for a smaller alpha never costs more.",
        stability="The limits 2, 0 and -inf are exact, and continuous in value and gradient, but "
        "for the gradient of alpha, which grows as log(2 - alpha) towards 2, and is 0 at it.",
        data="Any tails; scale near the size of an ordinary error.",
    ),
    example=Example(
        {
            "prediction": [[2.5, 0.0], [1.0, -1.0]],
            "target": [[3.0, -0.5], [1.0, 2.0]],
            "alpha": 0.5,
            "scale": 0.75,
        }
    ),
)
def general_robust(
    prediction: Prediction,
    target: Target,
    alpha: Annotated[
        Float[Tensor, ""],
        Arg(
            doc="Shape, in place of the parameter; -inf is welsch.",
            gradient=True,
            high=2,
            minus_infinity=True,
        ),
    ]
    | None = None,
    scale: Annotated[
        Float[Tensor, ""],
        Arg(
            doc="Size of an ordinary difference, in place of the parameter.",
            gradient=True,
            low=2.0**-20,
        ),
    ]
    | None = None,
    *,
    params: GeneralRobustParams,
) -> Float[Tensor, "rows *rest"]:
    """Barron's loss of the difference over the scale, one value per element.

    Shapes must be equal: nothing is broadcast.
    """
    difference = (prediction - target).abs()
    z = difference / (params.scale if scale is None else scale)
    a = difference.new_tensor(params.alpha) if alpha is None else alpha
    square, welsch = a == 2, a < _WELSCH
    a = a.masked_fill(square | welsch, 1.0)
    b = 2.0 - a
    log_term = log1p_square(z, b)
    value = 0.5 * b * log_term * _expm1_over(0.5 * a * log_term)
    bounded = -torch.expm1(-0.5 * z.masked_fill(~welsch, 0.0).square())
    half_square = 0.5 * z.masked_fill(~square, 0.0).square()
    return torch.where(square, half_square, torch.where(welsch, bounded, value))


def _expm1_over(t: Tensor) -> Tensor:
    """(e^t - 1) / t, 1 at 0, with a derivative that is right near 0 too."""
    near = t.abs() < _SERIES
    small, large = t.masked_fill(~near, 0.0), t.masked_fill(near, 1.0)
    series = torch.ones_like(t)
    for k in range(11, 1, -1):
        series = 1.0 + series * small / k
    return torch.where(near, series, torch.expm1(large) / large)
