"""Adaptive wing loss: for heatmaps, sharp where the target is bright, smooth where it is dark."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class AdaptiveWingParams(LossParams):
    """Parameters of `adaptive_wing`."""

    omega: float = Field(14.0, ge=1e-6, le=1e6, description="Height of the curved part.")
    theta: float = Field(0.5, ge=1e-6, le=1e6, description="Where the curved part ends.")
    epsilon: float = Field(1.0, ge=1e-6, le=1e6, description="Width of the bottom.")
    alpha: float = Field(
        2.1, ge=2, le=10, description="The exponent is alpha less the target, so at least 1."
    )


@loss(
    formula=r"\begin{cases}\omega \log(1 + |\frac{d}{\epsilon}|^{\alpha - y}) & |d| < \theta\\ "
    r"A |d| - C & \text{else}\end{cases},\quad d = x - y",
    source="Wang, Bo and Fuxin 2019, arXiv:1904.07399, eq. 3",
    units="none",
    card=Card(
        characteristics="Near l1 where the target is 1, near mse where it is 0: errors of the "
        "foreground pull more. A and C make value and slope continuous.",
        use="Landmarks and keypoints by heatmaps.",
        stability="Once differentiable; at a target of 1 the exponent is alpha - 1, so with alpha "
        "2 there is a kink at equality, where the gradient is 0.",
        data="Heatmaps in [0, 1], mostly background.",
    ),
    example=Example({"prediction": [[0.8, 0.1], [0.3, -0.2]], "target": [[1.0, 0.0], [0.9, 0.5]]}),
)
def adaptive_wing(
    prediction: Prediction,
    target: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="True heatmap, in [0, 1].", low=0, high=1)
    ],
    *,
    params: AdaptiveWingParams,
) -> Float[Tensor, "rows *rest"]:
    """Scaled logarithm of one plus a power of the difference, then a straight line.

    One value per element.
    """
    size = (prediction - target).abs()
    exponent = params.alpha - target
    inner = size.clamp(max=params.theta) / params.epsilon
    # 0^0 and 0^-1 never arise: the exponent is at least 1, and its derivative at 0 is put to 0.
    safe = inner.masked_fill(inner == 0, 1.0)
    curved = torch.log1p(torch.where(inner == 0, torch.zeros_like(inner), safe**exponent))
    log_edge = exponent * math.log(params.theta / params.epsilon)
    slope = exponent * torch.sigmoid(log_edge) / params.theta
    edge = softplus(log_edge)
    line = slope * (size - params.theta) + edge
    return params.omega * torch.where(size < params.theta, curved, line)
