"""Expectile loss: squared error weighed by its side."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class ExpectileParams(LossParams):
    """Parameters of `expectile`."""

    tau: float = Field(0.5, gt=0, lt=1, description="Which expectile. 0.5 is half of mse.")


@loss(
    formula=r"|\tau - [e < 0]|\, e^2,\quad e = y - x",
    source="Newey and Powell 1987, Econometrica 55, 819-847, eq. 2.1",
    units="squared units of the target",
    card=Card(
        characteristics="Convex and once differentiable; a smooth relative of quantile whose "
        "minimiser also depends on how far the far values are.",
        use="Risk measures, asymmetric costs; value functions of implicit Q-learning (tau 0.7).",
        stability="The gradient grows with the difference, as that of mse; 0 at equality.",
        data="Light tails: outliers on the dear side dominate.",
    ),
    example=Example(
        {"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]},
        {"tau": 0.7},
    ),
)
def expectile(
    prediction: Prediction, target: Target, *, params: ExpectileParams
) -> Float[Tensor, "rows *rest"]:
    """Square of the difference, times tau where the prediction is too low, 1 - tau where too high.

    One value per element. Shapes must be equal: nothing is broadcast.
    """
    missing = target - prediction
    low, high = positive_part(missing), positive_part(-missing)
    return params.tau * low.square() + (1.0 - params.tau) * high.square()
