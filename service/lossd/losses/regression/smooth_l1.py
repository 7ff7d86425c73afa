"""Smooth L1: absolute error with a rounded tip."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class SmoothL1Params(LossParams):
    """Parameters of `smooth_l1`."""

    beta: float = Field(
        1.0, ge=0, description="Where the square ends, in units of the target. 0 is l1."
    )


@loss(
    formula=r"\begin{cases}\frac{d^2}{2\beta} & |d| < \beta\\ |d| - \frac{\beta}{2} & "
    r"\text{else}\end{cases},\quad d = x - y",
    source="Girshick 2015, arXiv:1504.08083, eq. 3",
    units="units of the target",
    card=Card(
        characteristics="Convex; slope 1 outside beta whatever beta is (huber has slope delta).",
        use="Box regression, value functions: large errors must not dominate.",
        stability="The gradient is within [-1, 1]; no overflow for finite differences.",
        data="Mostly small errors and some outliers.",
    ),
    example=Example(
        {"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]},
        {"beta": 1.0},
    ),
    topics=("outliers",),
)
def smooth_l1(
    prediction: Prediction, target: Target, *, params: SmoothL1Params
) -> Float[Tensor, "rows *rest"]:
    """Half the squared difference over beta while it is below beta, then the absolute one.

    One value per element; it is huber with delta = beta, over beta. Shapes must be equal.
    """
    size = (prediction - target).abs()
    if params.beta == 0:
        return size
    # The clamped size, so that no branch can overflow.
    square_part = size.clamp(max=params.beta)
    return square_part / params.beta * (size - 0.5 * square_part)
