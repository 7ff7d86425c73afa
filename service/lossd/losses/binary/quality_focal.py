"""Quality focal loss: focal for targets that are a quality between 0 and 1."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import power, softplus
from lossd.losses._spec import Card, Example, LossParams


class QualityFocalParams(LossParams):
    """Parameters of `quality_focal`."""

    beta: float = Field(2.0, ge=0, le=16, description="Focus, unitless. 0 is cross-entropy.")
    denominator: Literal["items", "positives"] = Field(
        "items", description="What a mean divides by; positives are the targets above 0."
    )


def weight_of_item(params: QualityFocalParams, targets: Float[Tensor, "rows *rest"]) -> Tensor:
    """1 per element, or 1 per positive."""
    positive = targets > 0 if params.denominator == "positives" else torch.ones_like(targets)
    return positive.to(torch.float64)


@loss(
    formula=r"-|y - p|^\beta \left(y \log p + (1 - y) \log(1 - p)\right),\quad p = \sigma(z)",
    source="Li et al. 2020, arXiv:2006.04388, QFL",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Smallest, 0, where the probability equals the quality; not convex.",
        use="Dense detectors whose class score is to say how good the box is: targets are IoUs.",
        stability="y - p is taken of both sigmoids, so a sure answer keeps its digits.",
        data="Almost everything a clear negative, of target 0; positives with a measured quality.",
    ),
    example=Example({"logits": [[2.0, -1.0], [0.5, 0.0]], "targets": [[0.8, 0.0], [0.0, 0.6]]}),
)
def quality_focal(
    logits: Scores, targets: BinaryTargets, *, params: QualityFocalParams
) -> Float[Tensor, "rows *rest"]:
    """Binary cross-entropy of a quality, times the beta-th power of how far off the answer is.

    Where the probability equals the target the value is 0, and so is the gradient.

    Returns one value per element, in nats, >= 0.
    """
    # y - p = y (1 - p) - (1 - y) p: at y = 0 and 1 nothing cancels.
    off = targets * torch.sigmoid(-logits) - (1.0 - targets) * torch.sigmoid(logits)
    miss = targets * softplus(-logits) + (1.0 - targets) * softplus(logits)
    return power(off.abs(), params.beta) * miss
