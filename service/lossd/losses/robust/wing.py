"""Wing loss: a logarithm near the target, absolute error far from it."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams


class WingParams(LossParams):
    """Parameters of `wing`."""

    width: float = Field(
        10.0, ge=1e-6, le=1e6, description="Where the logarithm ends, in units of the target."
    )
    curvature: float = Field(
        2.0, ge=1e-6, le=1e6, description="How sharp the bottom is: smaller is sharper."
    )


@loss(
    formula=r"\begin{cases}w \log(1 + \frac{|d|}{\epsilon}) & |d| < w\\ |d| - w + "
    r"w \log(1 + \frac{w}{\epsilon}) & \text{else}\end{cases}",
    source="Feng et al. 2018, arXiv:1711.06753, eq. 5",
    units="units of the target",
    card=Card(
        characteristics="Small and middle errors pull harder than large ones, up to w / epsilon; "
        "not convex.",
        use="Landmarks and keypoints by coordinates, where the last pixel counts.",
        stability="The gradient jumps at the target, by twice w / epsilon, and is 0 there; it also "
        "jumps at width, where it is 1. adaptive_wing is smooth.",
        data="Coordinates in pixels; some errors beyond width.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def wing(
    prediction: Prediction, target: Target, *, params: WingParams
) -> Float[Tensor, "rows *rest"]:
    """Scaled logarithm up to width, then the absolute difference less a constant.

    One value per element. The subgradient at equality is 0.
    """
    size = (prediction - target).abs()
    inner = size.clamp(max=params.width)  # no branch sees a size that is not its own
    near = params.width * torch.log1p(inner / params.curvature)
    offset = params.width * (1.0 - math.log1p(params.width / params.curvature))
    return torch.where(size < params.width, near, size - offset)
