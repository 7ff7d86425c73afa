"""Varifocal loss: cross-entropy weighted by the target's quality, focal for negatives alone."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams


class VarifocalParams(LossParams):
    """Parameters of `varifocal`."""

    alpha: float = Field(0.75, ge=0, le=1e6, description="Factor of negatives.")
    gamma: float = Field(2.0, ge=0, le=16, description="Focus on hard negatives, unitless.")
    weight_by_quality: bool = Field(
        True, description="Weigh a positive by its target, as the paper does; else by 1."
    )
    denominator: Literal["items", "positives"] = Field(
        "items", description="What a mean divides by; positives are the targets above 0."
    )


def weight_of_item(params: VarifocalParams, targets: Float[Tensor, "rows *rest"]) -> Tensor:
    """1 per element, or 1 per positive."""
    positive = targets > 0 if params.denominator == "positives" else torch.ones_like(targets)
    return positive.to(torch.float64)


@loss(
    formula=r"\begin{cases} -q \left(q \log p + (1 - q) \log(1 - p)\right) & q > 0 \\ "
    r"-\alpha\, p^\gamma \log(1 - p) & q = 0 \end{cases},\quad p = \sigma(z)",
    source="Zhang et al. 2021, arXiv:2008.13367, VFL",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Easy negatives hardly count; positives keep all of their gradient, the "
        "better ones more of it.",
        use="Dense detectors whose score ranks boxes: targets are the IoU with the true box.",
        stability="Powers and logarithms are taken of the logit, so nothing saturates early.",
        data="Almost everything a negative, of target 0; few positives, each of known quality.",
    ),
    example=Example({"logits": [[2.0, -1.0], [0.5, 0.0]], "targets": [[0.8, 0.0], [0.0, 0.6]]}),
)
def varifocal(
    logits: Scores, targets: BinaryTargets, *, params: VarifocalParams
) -> Float[Tensor, "rows *rest"]:
    """Binary cross-entropy of a quality where there is one, focal loss of a negative elsewhere.

    Returns one value per element, in nats, >= 0.
    """
    up, down = softplus(-logits), softplus(logits)
    positive = targets * up + (1.0 - targets) * down
    if params.weight_by_quality:
        positive = targets * positive
    negative = params.alpha * torch.exp(-params.gamma * up) * down
    return torch.where(targets > 0, positive, negative)
