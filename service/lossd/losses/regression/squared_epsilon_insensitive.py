"""Squared error above a tolerance."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class SquaredEpsilonInsensitiveParams(LossParams):
    """Parameters of `squared_epsilon_insensitive`."""

    epsilon: float = Field(
        0.1, ge=0, description="Differences up to it cost nothing, in units of the target."
    )


@loss(
    formula=r"\max(0, |x - y| - \varepsilon)^2",
    source="Drucker et al. 1996, Support Vector Regression Machines, NIPS 9; the square as in "
    "Fan et al. 2008, LIBLINEAR, L2-loss SVR",
    units="squared units of the target",
    card=Card(
        characteristics="Convex and once differentiable; flat within epsilon of the target.",
        use="As epsilon_insensitive, where the optimiser wants a smooth gradient.",
        stability="The gradient is 0 at the edges of the tube and grows with what is beyond them.",
        data="Light tails beyond the tube; epsilon near the noise of the target.",
    ),
    example=Example(
        {"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.25], [1.0, 2.0]]},
        {"epsilon": 0.3},
    ),
)
def squared_epsilon_insensitive(
    prediction: Prediction, target: Target, *, params: SquaredEpsilonInsensitiveParams
) -> Float[Tensor, "rows *rest"]:
    """Square of what the absolute difference has above epsilon: one value per element."""
    return positive_part((prediction - target).abs() - params.epsilon).square()
