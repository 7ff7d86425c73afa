"""Smooth quantile (pinball) loss, a Huber loss of two slopes: a pinball loss without its kink."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class SmoothQuantileParams(LossParams):
    """Parameters of `smooth_quantile`."""

    tau: float = Field(0.5, gt=0, lt=1, description="Which quantile, as a probability.")
    delta: float = Field(
        1.0,
        ge=1e-6,
        le=1e6,
        description="Where the square ends, in units of the target; towards 0 it is quantile.",
    )


@loss(
    formula=r"|\tau - [e < 0]| \frac{L_{\delta}(e)}{\delta},\quad e = y - x,\; L_{\delta}: "
    r"\text{huber}",
    source="Dabney et al. 2018, arXiv:1710.10044, eq. 10",
    units="units of the target",
    card=Card(
        characteristics="Convex and once differentiable; the minimiser is a quantile as far as "
        "delta is small, an expectile as far as it is large.",
        use="Distributional reinforcement learning (QR-DQN, IQN); quantiles by optimisers that "
        "want smooth gradients.",
        stability="The gradient is within [-tau, 1 - tau], 0 at equality.",
        data="Any scale and outliers; delta below the errors that matter.",
    ),
    example=Example(
        {"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]},
        {"tau": 0.9},
    ),
)
def smooth_quantile(
    prediction: Prediction, target: Target, *, params: SmoothQuantileParams
) -> Float[Tensor, "rows *rest"]:
    """Huber loss over delta, weighed by the side of the difference: one value per element."""
    missing = target - prediction
    low, high = positive_part(missing), positive_part(-missing)
    return params.tau * _huber(low, params.delta) + (1.0 - params.tau) * _huber(high, params.delta)


def _huber(size: Tensor, delta: float) -> Tensor:
    square_part = size.clamp(max=delta)
    return square_part / delta * (size - 0.5 * square_part)
