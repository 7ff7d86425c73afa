"""Efficient IoU: overlap, distance of centres, and the differences of both sides."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example
from lossd.losses.box._geometry import (
    EXAMPLE,
    BoxParams,
    PredictedBoxes,
    TargetBoxes,
    centre_penalty,
    pairs_of,
    ratio,
)


class EiouParams(BoxParams):
    """Parameters of `eiou`."""


@loss(
    formula=r"1 - \mathrm{IoU} + \frac{\|c - c'\|^2}{W^2 + H^2} + \frac{(w - w')^2}{W^2}"
    r" + \frac{(h - h')^2}{H^2},\quad W, H \text{ of the box around both}",
    source="Zhang et al. 2021, arXiv:2101.08158, eq. 6",
    units="1",
    card=Card(
        characteristics="Width and height have a pull each, where `ciou` has one on their ratio.",
        use="In place of `ciou`: it also shrinks or grows a box of the right shape.",
        stability="No eps: a ratio to an empty side is 0.",
        data="Boxes matched to targets, in any one unit.",
    ),
    example=Example(EXAMPLE),
)
def eiou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: EiouParams
) -> Float[Tensor, "rows"]:
    """One minus IoU, plus the penalties of distance, width and height.

    Returns one value per box, in [0, 4]. Where edges coincide the gradient is the mean of both
    sides.
    """
    pairs = pairs_of(boxes, target_boxes, params.box_format)
    sides = ratio((pairs.size - pairs.target_size).square(), pairs.enclosing.square()).sum(1)
    return 1.0 - pairs.iou + centre_penalty(pairs) + sides
