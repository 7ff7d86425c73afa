"""Huber loss: squared error near the target, absolute error far from it."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class HuberParams(LossParams):
    """Parameters of `huber`."""

    delta: float = Field(1.0, gt=0, description="Where the square ends, in units of the target.")


@loss(
    formula=r"\begin{cases}\frac{d^2}{2} & |d| \le \delta\\ \delta (|d| - \frac{\delta}{2}) & "
    r"\text{else}\end{cases},\quad d = x - y",
    source="Huber 1964, Annals of Mathematical Statistics 35, 73-101",
    units="squared units of the target",
    card=Card(
        characteristics="Convex, once differentiable; slope delta outside (smooth_l1 has slope 1).",
        use="Regression with outliers where the mean, not the median, is wanted near the target.",
        stability="The gradient is within [-delta, delta].",
        data="Light-tailed errors with some outliers; delta near the size of a typical error.",
    ),
    example=Example(
        {"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]},
        {"delta": 1.0},
    ),
)
def huber(
    prediction: Prediction, target: Target, *, params: HuberParams
) -> Float[Tensor, "rows *rest"]:
    """Half the squared difference up to delta, then delta times the absolute one, less a constant.

    One value per element. Shapes must be equal.
    """
    size = (prediction - target).abs()
    # The clamped size, so that no branch can overflow.
    square_part = size.clamp(max=params.delta)
    return square_part * (size - 0.5 * square_part)
