"""Squared error."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class MseParams(LossParams):
    """`mse` has no parameters."""


@loss(
    formula=r"(x - y)^2",
    source="Gauss 1809, Theoria motus corporum coelestium, section 179",
    units="squared units of the target",
    card=Card(
        characteristics="Strongly convex, smooth; its minimiser is the conditional mean.",
        use="Regression with errors of roughly constant, light-tailed size.",
        stability="Exact; differences above 1.8e19 overflow float32. Half precision is widened.",
        data="Targets of one scale and without gross outliers: those dominate.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def mse(
    prediction: Prediction, target: Target, *, params: MseParams
) -> Float[Tensor, "rows *rest"]:
    """Square of the difference, one value per element.

    Shapes must be equal: nothing is broadcast.
    """
    return (prediction - target).square()
