"""Bounded IoU: the best IoU that each coordinate alone allows."""

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


class BoundedIouParams(BoxParams):
    """Parameters of `bounded_iou`."""

    beta: float = Field(
        0.2, ge=1e-6, le=1, description="Where the smooth L1 of a cost turns into a line."
    )


@loss(
    formula=r"\sum_{c \in \{x, y, w, h\}} \mathrm{smooth}_{L1}(1 - B_c),\quad"
    r" B_x = \max\left(0, \frac{w' - 2|\Delta x|}{w' + 2|\Delta x|}\right),\quad"
    r" B_w = \min\left(\frac{w}{w'}, \frac{w'}{w}\right)",
    source="Tychsen-Smith and Petersson 2018, arXiv:1711.00164, eq. 11 to 17",
    units="1",
    card=Card(
        characteristics="Each coordinate is judged as if the other three were right.",
        use="Boxes regressed coordinate by coordinate, as in two-stage detectors.",
        stability="A cost of 1 has no gradient: a centre further off than half the target's side.",
        data="Boxes near their targets.",
    ),
    example=Example(EXAMPLE),
)
def bounded_iou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: BoundedIouParams
) -> Float[Tensor, "rows"]:
    """The sum over x, y, w, h of the smooth L1 of one minus the best IoU they allow.

    smooth L1 is c^2 / (2 beta) below beta and c - beta / 2 above. A side
    of 0 against one of 0 is right. Subgradients where a cost is 0 or 1 are 0.

    Returns one value per box, in [0, 4).
    """
    pairs = pairs_of(boxes, target_boxes, params.box_format)
    apart, target = 2.0 * pairs.between_centres.abs(), pairs.target_size
    position = 1.0 - torch.relu(ratio(target - apart, target + apart))
    position = position.masked_fill(target + apart == 0, 0.0)
    larger = torch.maximum(pairs.size, target)
    extent = ratio((pairs.size - target).abs(), larger)
    cost = torch.cat((position, extent), dim=1)
    smooth = torch.nn.functional.smooth_l1_loss(
        cost, torch.zeros_like(cost), reduction="none", beta=params.beta
    )
    return smooth.sum(1)
