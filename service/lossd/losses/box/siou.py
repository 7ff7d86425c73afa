"""SCYLLA-IoU: overlap, and distance and shape by the angle between the centres."""

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


class SiouParams(BoxParams):
    """Parameters of `siou`."""

    theta: float = Field(
        4.0, ge=1, le=10, description="How strongly the shape counts; 2 to 6 in the paper."
    )


@loss(
    formula=r"1 - \mathrm{IoU} + \frac{\Delta + \Omega}{2},\quad"
    r" \Delta = \sum_{t \in \{x, y\}} 1 - e^{-(2 - \sin 2\alpha)\rho_t},\quad"
    r" \Omega = \sum_{t \in \{w, h\}} (1 - e^{-\omega_t})^\theta",
    source="Gevorgyan 2022, arXiv:2205.12740, eq. 1 to 18",
    units="1",
    card=Card(
        characteristics="A box is first brought onto an axis of its target, then along it.",
        use="In place of `ciou`, where the direction of the miss matters.",
        stability="The angle enters as 2 |dx dy| / (dx^2 + dy^2), which needs no arcsine and is 0 "
        "where centres coincide.",
        data="Boxes matched to targets, in any one unit.",
    ),
    example=Example(EXAMPLE),
)
def siou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: SiouParams
) -> Float[Tensor, "rows"]:
    """One minus IoU, plus half of the costs of distance and shape.

    rho are the squared differences of centres over the sides of the box around both, omega the
    differences of sides over the larger. The subgradient where sides or centres agree is 0.

    Returns one value per box, in [0, 3).
    """
    pairs = pairs_of(boxes, target_boxes, params.box_format)
    apart = pairs.between_centres
    angle = ratio(2.0 * apart.prod(1).abs(), apart.square().sum(1))
    rho = ratio(apart, pairs.enclosing).square()
    distance = -torch.expm1((angle - 2.0).unsqueeze(1) * rho).sum(1)
    larger = torch.maximum(pairs.size, pairs.target_size)
    omega = ratio((pairs.size - pairs.target_size).abs(), larger)
    shape = (-torch.expm1(-omega)).pow(params.theta).sum(1)
    return 1.0 - pairs.iou + 0.5 * (distance + shape)
