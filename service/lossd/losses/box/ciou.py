"""Complete IoU: overlap, distance of centres, and aspect ratio."""

from typing import Literal

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
    aspect_difference,
    centre_penalty,
    pairs_of,
    ratio,
)


class CiouParams(BoxParams):
    """Parameters of `ciou`."""

    alpha_gradient: Literal["detached", "full"] = Field(
        "detached", description="Whether alpha counts as constant, as in the paper."
    )


@loss(
    formula=r"1 - \mathrm{IoU} + \frac{\|c - c'\|^2}{d^2} + \alpha v,\quad"
    r" v = \frac{4}{\pi^2} \left(\arctan \frac{w'}{h'} - \arctan \frac{w}{h}\right)^2,"
    r"\quad \alpha = \frac{v}{1 - \mathrm{IoU} + v}",
    source="Zheng et al. 2020, arXiv:1911.08287, eq. 8 to 11",
    units="1",
    card=Card(
        characteristics="`diou` and the difference of aspect ratios, by a weight that grows with "
        "the overlap.",
        use="The usual box loss of one-stage detectors.",
        stability="The gradient is that of the value, without the paper's dropping of "
        "1 / (w^2 + h^2); alpha is constant unless alpha_gradient is full.",
        data="Boxes matched to targets, in any one unit.",
    ),
    example=Example(EXAMPLE),
)
def ciou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: CiouParams
) -> Float[Tensor, "rows"]:
    """One minus IoU, plus the penalties of distance and of aspect ratio.

    Returns one value per box, in [0, 3). Where edges coincide the gradient is the mean of both
    sides.
    """
    pairs = pairs_of(boxes, target_boxes, params.box_format)
    aspect = aspect_difference(pairs)
    alpha = ratio(aspect, (1.0 - pairs.iou) + aspect)
    if params.alpha_gradient == "detached":
        alpha = alpha.detach()
    return 1.0 - pairs.iou + centre_penalty(pairs) + alpha * aspect
