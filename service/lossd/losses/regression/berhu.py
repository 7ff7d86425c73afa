"""Reverse Huber loss: absolute error near the target, squared error far from it."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class BerhuParams(LossParams):
    """Parameters of `berhu`."""

    threshold: float = Field(
        1.0, ge=1e-6, le=1e6, description="Where the square begins, in units of the target."
    )


@loss(
    formula=r"\begin{cases}|d| & |d| \le c\\ \frac{d^2 + c^2}{2 c} & \text{else}\end{cases}",
    source="Owen 2007, A robust hybrid of lasso and ridge regression; in depth Laina et al. 2016, "
    "arXiv:1606.00373, eq. 1",
    units="units of the target",
    topics=("images",),
    card=Card(
        characteristics="Convex; small errors pull as in l1, large ones more than in l1, the other "
        "way round than huber.",
        use="Depth, where many small errors and a few large ones all matter.",
        stability="The gradient is at least 1 off the target and grows with the error; at the "
        "target it is 0. Laina et al. put the threshold to a fifth of the batch's largest error.",
        data="No gross outliers: those are squared.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def berhu(
    prediction: Prediction, target: Target, *, params: BerhuParams
) -> Float[Tensor, "rows *rest"]:
    """Absolute difference up to the threshold, beyond it a square that continues it.

    One value per element. The subgradient at equality is 0.
    """
    size = (prediction - target).abs()
    excess = (size - params.threshold).clamp(min=0.0)
    # (d^2 + c^2) / 2c is |d| + (|d| - c)^2 / 2c.
    return size + excess.square() / (2.0 * params.threshold)
