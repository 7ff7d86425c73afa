"""Sigmoid focal loss: binary cross-entropy that stops caring about easy elements."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams


class SigmoidFocalParams(LossParams):
    """Parameters of `sigmoid_focal`."""

    alpha: float | None = Field(
        0.25, ge=0, le=1, description="Factor of positives, 1 - alpha of negatives; null is 1."
    )
    gamma: float = Field(2.0, ge=0, le=16, description="Focus, unitless. 0 is cross-entropy.")
    denominator: Literal["items", "positives"] = Field(
        "items", description="What a mean divides by; RetinaNet divides by the positives."
    )
    modulation_gradient: Literal["full", "detached"] = Field(
        "full", description="Whether the gradient flows through (1 - p)^gamma too."
    )


def weight_of_item(params: SigmoidFocalParams, targets: Float[Tensor, "rows *rest"]) -> Tensor:
    """1 per element, or its target where only positives count."""
    return targets if params.denominator == "positives" else torch.ones_like(targets)


@loss(
    formula=r"-\alpha\,y\,(1 - p)^\gamma \log p - (1 - \alpha)(1 - y)\,p^\gamma \log(1 - p),"
    r"\quad p = \sigma(z)",
    source="Lin et al. 2017, arXiv:1708.02002, eq. 5",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Down-weights elements of high confidence; not convex.",
        use="Dense detectors and multilabel data where almost everything is a clear negative.",
        stability="Powers and logarithms are taken of the logit, so nothing saturates early.",
        data="Extreme imbalance with clean labels: hard wrong labels get the largest weight.",
    ),
    example=Example(
        {"logits": [[2.0, -1.0], [0.5, 0.0]], "targets": [[1, 0], [0, 1]]},
        {"denominator": "positives"},
    ),
    topics=("imbalance", "hard examples"),
)
def sigmoid_focal(
    logits: Scores, targets: BinaryTargets, *, params: SigmoidFocalParams
) -> Float[Tensor, "rows *rest"]:
    """Binary cross-entropy times (1 - p_t)^gamma, one value per element.

    A target between 0 and 1 gives the expectation over positive and negative.
    """
    miss_positive, miss_negative = softplus(-logits), softplus(logits)
    # (1 - p)^gamma = exp(-gamma softplus(z)), which no rounding of p can spoil.
    of_positive = torch.exp(-params.gamma * miss_negative)
    of_negative = torch.exp(-params.gamma * miss_positive)
    if params.modulation_gradient == "detached":
        of_positive, of_negative = of_positive.detach(), of_negative.detach()
    positive = targets * of_positive * miss_positive
    negative = (1.0 - targets) * of_negative * miss_negative
    if params.alpha is None:
        return positive + negative
    return params.alpha * positive + (1.0 - params.alpha) * negative
