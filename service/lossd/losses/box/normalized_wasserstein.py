"""Normalized Wasserstein distance: boxes as Gaussians, for tiny objects."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example
from lossd.losses.box._geometry import EXAMPLE, BoxParams, PredictedBoxes, TargetBoxes


class NormalizedWassersteinParams(BoxParams):
    """Parameters of `normalized_wasserstein`."""

    constant: float = Field(
        12.8, gt=0, description="C, about the mean size of the objects, in the boxes' unit."
    )


@loss(
    formula=r"1 - e^{-W_2 / C},\quad W_2^2 = \|c - c'\|^2 + \tfrac14 (w - w')^2"
    r" + \tfrac14 (h - h')^2",
    source="Wang et al. 2021, arXiv:2110.13389, eq. 5 to 8",
    units="1",
    card=Card(
        characteristics="Smooth in distance where IoU drops to 0 by a miss of few pixels; it does "
        "depend on the unit.",
        use="Tiny objects. Known as NWD.",
        stability="Far from the target, W of many times C, the gradient vanishes.",
        data="Boxes in pixels, of about the size C.",
    ),
    example=Example(EXAMPLE),
)
def normalized_wasserstein(
    boxes: PredictedBoxes, target_boxes: TargetBoxes, *, params: NormalizedWassersteinParams
) -> Float[Tensor, "rows"]:
    """One minus e to minus the Wasserstein-2 distance of the boxes' Gaussians over C.

    Returns one value per box, in [0, 1]. Equal boxes have no gradient.
    """
    apart = boxes - target_boxes
    if params.box_format == "xyxy":
        low, high = apart[:, :2], apart[:, 2:]
        apart = torch.cat((0.5 * (low + high), 0.5 * (high - low)), dim=1)
    else:
        apart = torch.cat((apart[:, :2], 0.5 * apart[:, 2:]), dim=1)
    # Over the largest first, or the squares of 1e-30 and of 1e20 are lost in float32.
    size = apart.detach().abs().amax(1, keepdim=True)
    size = size.masked_fill(size == 0, 1.0)
    distance = size.squeeze(1) * torch.linalg.vector_norm(apart / size, dim=1)
    return -torch.expm1(-distance / params.constant)
