"""Charbonnier loss: a smooth absolute error."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class CharbonnierParams(LossParams):
    """Parameters of `charbonnier`."""

    epsilon: float = Field(
        1e-3,
        ge=1e-6,
        le=1e6,
        description="Where the square ends and the absolute value begins, in units of the target.",
    )
    shifted: bool = Field(
        False, description="Whether to subtract epsilon, so that no error costs 0."
    )


@loss(
    formula=r"\sqrt{d^2 + \varepsilon^2},\quad d = x - y",
    source="Charbonnier et al. 1994, Two deterministic half-quadratic regularization algorithms, "
    "ICIP; as a training loss Lai et al. 2017, arXiv:1704.03915, section 3.3",
    units="units of the target",
    card=Card(
        characteristics="Convex and smooth everywhere: a parabola of width epsilon at the bottom "
        "of l1.",
        use="Image restoration, optical flow, super-resolution: l1 without its kink.",
        stability="The gradient is within (-1, 1). By hypot: no difference overflows, and shifted, "
        "small differences keep their digits.",
        data="Outliers are fine; epsilon below the size of the errors that matter.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def charbonnier(
    prediction: Prediction, target: Target, *, params: CharbonnierParams
) -> Float[Tensor, "rows *rest"]:
    """Hypotenuse of the difference and epsilon, one value per element, at least epsilon.

    Shifted, it is less by epsilon and at least 0: the pseudo-Huber loss over its delta.
    """
    difference = prediction - target
    epsilon = difference.new_tensor(params.epsilon)
    root = torch.hypot(difference, epsilon)
    if not params.shifted:
        return root
    return difference * (difference / (root + epsilon))  # root - epsilon, without a difference
