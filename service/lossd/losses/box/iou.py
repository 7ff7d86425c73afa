"""IoU loss: the share of two boxes' union that they do not share."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example
from lossd.losses.box._geometry import EXAMPLE, BoxParams, PredictedBoxes, TargetBoxes, pairs_of


class IouParams(BoxParams):
    """Parameters of `iou`."""

    kind: Literal["linear", "squared", "log"] = Field(
        "linear", description="1 - IoU, 1 - IoU^2, or -log IoU as in the first paper."
    )


@loss(
    formula=r"1 - \mathrm{IoU},\quad \mathrm{IoU} = \frac{|A \cap B|}{|A \cup B|}",
    source="Yu et al. 2016 (UnitBox), arXiv:1608.01471, eq. 1 (log); linear: Rahman and Wang 2016",
    units="1, or nats with log",
    card=Card(
        characteristics="In [0, 1], the same for boxes of any size. No gradient without overlap.",
        use="Boxes that already overlap; `giou` or `diou` where they may not.",
        stability="No eps: two empty boxes have IoU 0. With log, +inf without gradient where "
        "nothing overlaps.",
        data="Boxes matched to targets, in any one unit.",
    ),
    example=Example(EXAMPLE),
)
def iou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: IouParams
) -> Float[Tensor, "rows"]:
    """One minus intersection over union of a box and its target.

    Returns one value per box, in [0, 1]; with log >= 0. Where edges coincide the gradient is the
    mean of both sides, so equal boxes have none.
    """
    overlap = pairs_of(boxes, target_boxes, params.box_format).iou
    if params.kind == "linear":
        return 1.0 - overlap
    if params.kind == "squared":
        return 1.0 - overlap.square()
    apart = overlap == 0
    return torch.where(apart, torch.inf, -torch.log(overlap.masked_fill(apart, 1.0)))
