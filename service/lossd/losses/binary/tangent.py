"""Tangent loss: bounded on both sides, it also penalises being too right."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._spec import Card, Example, LossParams


class TangentParams(LossParams):
    """`tangent` has no parameters."""


@loss(
    formula=r"(2 \arctan(y s) - 1)^2",
    source="Masnadi-Shirazi, Mahadevan and Vasconcelos 2010, CVPR, On the design of robust "
    "classifiers for computer vision",
    units="unitless",
    card=Card(
        characteristics="Bounded by (pi + 1)^2; 0 at a margin of tan(1/2), about 0.546, and not "
        "convex. arctan(s) + 1/2, clipped to [0, 1], is a probability.",
        use="Boosting for vision, with outliers on both sides of the border (TangentBoost).",
        stability="Stable for any finite score.",
        data="Wrong labels, and items that are right for no good reason.",
    ),
    example=Example({"scores": [0.5, -2.0, 1.5], "labels": [1, -1, -1]}),
)
def tangent(
    scores: Scores, labels: SignLabels, *, params: TangentParams
) -> Float[Tensor, "rows *rest"]:
    """Square of how far twice the margin's arc tangent is from 1, one value per element."""
    return (2.0 * torch.atan(labels * scores) - 1.0).square()
