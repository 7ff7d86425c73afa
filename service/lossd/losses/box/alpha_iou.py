"""Alpha-IoU: IoU and its penalties to a power."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import power
from lossd.losses._spec import Card, Example
from lossd.losses.box._geometry import (
    EXAMPLE,
    BoxParams,
    PredictedBoxes,
    TargetBoxes,
    centre_penalty,
    empty_share,
    pairs_of,
)


class AlphaIouParams(BoxParams):
    """Parameters of `alpha_iou`."""

    alpha: float = Field(3.0, ge=0.1, le=100, description="The power.")
    penalty: Literal["none", "giou", "diou"] = Field(
        "none", description="Which penalty is added, to the same power."
    )


@loss(
    formula=r"1 - \mathrm{IoU}^\alpha + P^\alpha",
    source="He et al. 2021, arXiv:2110.13675, eq. 4 and 5",
    units="1",
    card=Card(
        characteristics="alpha > 1 counts boxes that overlap much more, and their gradient too.",
        use="Accuracy at strict IoU thresholds; small data sets and noisy boxes.",
        stability="A power of 0 has no gradient. Below alpha 1 the slope near 0 is steep.",
        data="Boxes matched to targets, in any one unit.",
    ),
    example=Example(EXAMPLE),
)
def alpha_iou(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: AlphaIouParams
) -> Float[Tensor, "rows"]:
    """One minus IoU to the power alpha, plus a penalty to the power alpha.

    The penalties are those of `giou` and `diou`, which it is with alpha 1. Where edges coincide
    the gradient is the mean of both sides.

    Returns one value per box, in [0, 2].
    """
    pairs = pairs_of(boxes, target_boxes, params.box_format)
    value = 1.0 - power(pairs.iou, params.alpha)
    if params.penalty == "none":
        return value
    penalty = empty_share(pairs) if params.penalty == "giou" else centre_penalty(pairs)
    return value + power(penalty.clamp_min(0.0), params.alpha)
