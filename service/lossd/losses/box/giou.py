"""Generalized IoU: boxes that do not overlap are drawn together too."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example
from lossd.losses.box._geometry import (
    EXAMPLE,
    BoxParams,
    PredictedBoxes,
    TargetBoxes,
    empty_share,
    pairs_of,
)


class GiouParams(BoxParams):
    """Parameters of `giou`."""


@loss(
    formula=r"1 - \mathrm{IoU} + \frac{|C| - |A \cup B|}{|C|},\quad C \text{ the box around both}",
    source="Rezatofighi et al. 2019, arXiv:1902.09630, algorithm 1",
    units="1",
    card=Card(
        characteristics="In [0, 2], the same for boxes of any size; a gradient at any distance.",
        use="The usual loss of detection transformers, beside an L1 of the coordinates.",
        stability="No eps: a ratio to an empty area is 0. It first widens a box that is apart.",
        data="Boxes matched to targets, in any one unit.",
    ),
    example=Example(EXAMPLE),
)
def giou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: GiouParams
) -> Float[Tensor, "rows"]:
    """One minus IoU, plus the share of the box around both that neither covers.

    Returns one value per box, in [0, 2]. Where edges coincide the gradient is the mean of both
    sides.
    """
    pairs = pairs_of(boxes, target_boxes, params.box_format)
    return 1.0 - pairs.iou + empty_share(pairs)
