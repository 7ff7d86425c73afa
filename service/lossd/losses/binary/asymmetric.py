"""Asymmetric loss: multilabel cross-entropy that cares less about easy negatives than positives."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import positive_part, power, softplus
from lossd.losses._spec import Card, Example, LossParams


class AsymmetricParams(LossParams):
    """Parameters of `asymmetric`."""

    gamma_negative: float = Field(4.0, ge=0, le=16, description="Focus on hard negatives.")
    gamma_positive: float = Field(1.0, ge=0, le=16, description="Focus on hard positives.")
    clip: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Taken off a negative's probability; below it nothing is paid.",
    )
    denominator: Literal["items", "rows"] = Field(
        "items", description="What a mean divides by; rows adds the elements of a row up."
    )
    modulation_gradient: Literal["full", "detached"] = Field(
        "full", description="Whether the gradient flows through the powers too."
    )


def weight_of_item(params: AsymmetricParams, targets: Float[Tensor, "rows *rest"]) -> Tensor:
    """1 per element, or what makes 1 per row."""
    per_row = math.prod(targets.shape[1:]) if params.denominator == "rows" else 1
    return torch.full_like(targets, 1.0 / max(per_row, 1), dtype=torch.float64)


@loss(
    formula=r"-y\,(1 - p)^{\gamma_+} \log p - (1 - y)\,p_m^{\gamma_-} \log(1 - p_m),"
    r"\quad p = \sigma(z),\quad p_m = \max(0, p - m)",
    source="Ben-Baruch et al. 2020, arXiv:2009.14119, eqs. 5 and 7; the authors' code sums",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Focal, with a focus of its own for negatives, of which the easiest cost "
        "nothing at all; not convex.",
        use="Multilabel data where a row has few of very many labels.",
        stability="Powers and logarithms are taken of the logit, so a sure wrong answer keeps its "
        "gradient. With clip a negative's value is at most -log(clip).",
        data="Sparse positives; a negative above the clip that is a missing label weighs most.",
    ),
    example=Example({"logits": [[2.0, -1.0], [0.5, 0.0]], "targets": [[1, 0], [0, 1]]}),
    topics=("imbalance",),
)
def asymmetric(
    logits: Scores, targets: BinaryTargets, *, params: AsymmetricParams
) -> Float[Tensor, "rows *rest"]:
    """Binary cross-entropy with a focal factor for positives and another for negatives.

    A target between 0 and 1 gives the expectation over positive and negative; the authors' code
    mixes the probabilities instead. The subgradient where p = clip is 0. The authors' code has
    the modulation detached, and a sum for a mean.

    Returns one value per element, in nats, >= 0.
    """
    # (1 - p)^gamma = exp(-gamma softplus(z)), which no rounding of p can spoil.
    of_positive = torch.exp(-params.gamma_positive * softplus(logits))
    of_negative, miss_negative = _negative(logits, params)
    if params.modulation_gradient == "detached":
        of_positive, of_negative = of_positive.detach(), of_negative.detach()
    positive = targets * of_positive * softplus(-logits)
    return positive + (1.0 - targets) * of_negative * miss_negative


def _negative(logits: Tensor, params: AsymmetricParams) -> tuple[Tensor, Tensor]:
    """The factor p_m^gamma of a negative, and -log(1 - p_m)."""
    if params.clip == 0:
        return torch.exp(-params.gamma_negative * softplus(-logits)), softplus(logits)
    shifted = positive_part(torch.sigmoid(logits) - params.clip)
    near = shifted < 0.5
    # 1 - p_m is (1 - p) + clip, which keeps its digits where p_m rounds to 1.
    low = -torch.log1p(-torch.where(near, shifted, 0.0))
    bound = torch.full_like(logits, math.log(params.clip))
    high = -torch.logaddexp(-softplus(logits), bound)
    return power(shifted, params.gamma_negative), torch.where(near, low, high)
