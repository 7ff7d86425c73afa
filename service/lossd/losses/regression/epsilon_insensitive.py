"""Absolute error above a tolerance: the loss of support vector regression."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class EpsilonInsensitiveParams(LossParams):
    """Parameters of `epsilon_insensitive`."""

    epsilon: float = Field(
        0.1, ge=0, description="Differences up to it cost nothing, in units of the target."
    )


@loss(
    formula=r"\max(0, |x - y| - \varepsilon)",
    source="Vapnik 1995, The Nature of Statistical Learning Theory, eq. 6.1",
    units="units of the target",
    topics=("outliers",),
    card=Card(
        characteristics="Convex, piecewise linear, flat around the target: rows inside the tube "
        "have no pull, the others a constant one.",
        use="Support vector regression; targets known only to within epsilon.",
        stability="The gradient is -1, 0 or 1; 0 at both edges of the tube.",
        data="Outliers are fine; epsilon near the noise of the target.",
    ),
    example=Example(
        {"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.25], [1.0, 2.0]]},
        {"epsilon": 0.3},
    ),
)
def epsilon_insensitive(
    prediction: Prediction, target: Target, *, params: EpsilonInsensitiveParams
) -> Float[Tensor, "rows *rest"]:
    """Absolute difference less epsilon, at least 0: one value per element.

    Subgradients at kinks are 0.
    """
    return positive_part((prediction - target).abs() - params.epsilon)
