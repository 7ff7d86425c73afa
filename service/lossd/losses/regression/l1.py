"""Absolute error."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class L1Params(LossParams):
    """`l1` has no parameters."""


@loss(
    formula=r"|x - y|",
    source="Laplace 1774, Memoire sur la probabilite des causes par les evenements",
    units="units of the target",
    card=Card(
        characteristics="Convex, not smooth at 0; its minimiser is the conditional median.",
        use="Regression where a few wild targets must not decide.",
        stability="Exact. The gradient has constant size, so steps must shrink by a schedule.",
        data="Heavy-tailed errors, outliers.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
    topics=("outliers",),
)
def l1(prediction: Prediction, target: Target, *, params: L1Params) -> Float[Tensor, "rows *rest"]:
    """Absolute difference, one value per element; the subgradient at 0 is 0.

    Shapes must be equal: nothing is broadcast.
    """
    return (prediction - target).abs()
