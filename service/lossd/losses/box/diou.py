"""Distance IoU: the distance of centres counts too."""

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
)


class DiouParams(BoxParams):
    """Parameters of `diou`."""


@loss(
    formula=r"1 - \mathrm{IoU} + \frac{\|c - c'\|^2}{d^2},"
    r"\quad d \text{ the diagonal of the box around both}",
    source="Zheng et al. 2020, arXiv:1911.08287, eq. 7",
    units="1",
    card=Card(
        characteristics="In [0, 2], the same for boxes of any size; moves a box straight at its "
        "target.",
        use="Where `giou` is slow to bring boxes together, as with one inside the other.",
        stability="No eps: two boxes at one point have distance 0.",
        data="Boxes matched to targets, in any one unit.",
    ),
    example=Example(EXAMPLE),
)
def diou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: DiouParams
) -> Float[Tensor, "rows"]:
    """One minus IoU, plus the squared distance of centres over the squared enclosing diagonal.

    Returns one value per box, in [0, 2]. Where edges coincide the gradient is the mean of both
    sides.
    """
    pairs = pairs_of(boxes, target_boxes, params.box_format)
    return 1.0 - pairs.iou + centre_penalty(pairs)
