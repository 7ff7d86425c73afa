"""Wise IoU, version 1: the IoU loss, counted more where centres are apart."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example
from lossd.losses.box._geometry import (
    EXAMPLE,
    BoxParams,
    PredictedBoxes,
    TargetBoxes,
    pairs_of,
    ratio,
)


class WiseIouParams(BoxParams):
    """Parameters of `wise_iou`."""

    enclosing_gradient: Literal["detached", "full"] = Field(
        "detached",
        description="Whether the size of the box around both counts as constant, as in the paper.",
    )


@loss(
    formula=r"e^{\|c - c'\|^2 / (W^2 + H^2)} (1 - \mathrm{IoU}),"
    r"\quad W, H \text{ of the box around both}",
    source="Tong et al. 2023, arXiv:2301.10051, eq. 5 and 6 (version 1)",
    units="1",
    card=Card(
        characteristics="`iou` times a factor of 1 to e that grows with the distance of centres.",
        use="Detection with targets of mixed quality; a box that fits is left to its overlap.",
        stability="The size of the box around both is constant, so that no box grows to reduce "
        "its loss.",
        data="Boxes matched to targets, in any one unit.",
    ),
    example=Example(EXAMPLE),
)
def wise_iou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: WiseIouParams
) -> Float[Tensor, "rows"]:
    """One minus IoU, times e to the squared distance of centres over the squared diagonal.

    Returns one value per box, in [0, e]. Where edges coincide the gradient is the mean of both
    sides.
    """
    pairs = pairs_of(boxes, target_boxes, params.box_format)
    diagonal = pairs.enclosing.square().sum(1)
    if params.enclosing_gradient == "detached":
        diagonal = diagonal.detach()
    return torch.exp(ratio(pairs.between_centres.square().sum(1), diagonal)) * (1.0 - pairs.iou)
