"""Asymmetric unified focal loss: a focal cross-entropy and a focal Tversky loss in one."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import is_ignored, one_hot, power
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.segmentation._regions import EXAMPLE


class AsymmetricUnifiedFocalParams(LossParams):
    """Parameters of `asymmetric_unified_focal`."""

    weight: float = Field(
        0.5, ge=0, le=1, description="Share of the cross-entropy; lambda in the paper."
    )
    delta: float = Field(
        0.6, ge=0, le=1, description="What misses of rare classes weigh, against false positives."
    )
    gamma: float = Field(
        0.5, ge=0, lt=1, description="How far background is suppressed and rare classes enhanced."
    )
    smooth: float = Field(1e-7, ge=0, description="Added to both parts of the Tversky index.")
    ignore_index: int | None = Field(None, description="Label of pixels that do not count.")


def counted_images(
    params: AsymmetricUnifiedFocalParams, labels: Int[Tensor, "rows *spatial"]
) -> Tensor:
    """1 for an image of which something counts, else 0."""
    kept = ~is_ignored(labels, params.ignore_index)
    return kept.unsqueeze(1).flatten(1).any(1).double()


@loss(
    formula=r"\lambda L_{maF} + (1 - \lambda) L_{maFT},\quad"
    r" L_{maF} = -\overline{\delta\, t_r \log p_r + (1 - \delta)(1 - p_b)^\gamma t_b \log p_b}",
    source="Yeung et al. 2022, arXiv:2102.04525, eq. 15 to 18",
    units="mixed: nats and 1",
    weights=counted_images,
    card=Card(
        characteristics="Class 0 is suppressed in the cross-entropy, all others are enhanced in "
        "the Tversky part; three numbers rule what Dice and focal losses have six for.",
        use="Small structures on much background, two classes or several.",
        stability="Log-softmax, no clamps. A Tversky loss of 0 to the power 1 - gamma has no "
        "gradient.",
        data="Labels, class 0 the background.",
    ),
    example=Example(EXAMPLE),
)
def asymmetric_unified_focal(
    logits: FiniteLogits, labels: IgnorableLabels, *, params: AsymmetricUnifiedFocalParams
) -> Float[Tensor, "rows"]:
    """A share of the modified focal loss, and the rest of the modified focal Tversky loss.

    The focal part is a mean over classes and pixels that count, the Tversky part one over classes:
    (1 - index) of class 0, and to the power 1 - gamma of all others.

    Returns one value per image, >= 0; 0 where all is ignored.
    """
    ignored = is_ignored(labels, params.ignore_index)
    log_p = torch.log_softmax(logits, dim=1).unsqueeze(2).flatten(2)
    t = one_hot(labels.masked_fill(ignored, 0), logits.detach()).unsqueeze(2).flatten(2)
    counts = (~ignored).to(logits.dtype).unsqueeze(1).flatten(1).unsqueeze(1)
    p, t = log_p.exp() * counts, t * counts
    missed = -torch.expm1(log_p)
    rare = torch.arange(p.shape[1], device=p.device).view(1, -1, 1) > 0
    modulation = torch.where(rare, params.delta, (1.0 - params.delta) * power(missed, params.gamma))
    size = (counts.sum((1, 2)) * p.shape[1]).clamp_min(1.0)
    focal = -(modulation * t * log_p).sum((1, 2), dtype=torch.float64) / size
    found = (p * t).sum(2, dtype=torch.float64)
    lacking = params.delta * (missed * t).sum(2) + (1.0 - params.delta) * (p * (1.0 - t)).sum(2)
    whole = found + lacking + params.smooth
    tversky = lacking / whole.masked_fill(whole == 0, 1.0)
    tversky = torch.where(rare[..., 0], power(tversky, 1.0 - params.gamma), tversky).mean(1)
    return (params.weight * focal + (1.0 - params.weight) * tversky).to(logits.dtype)
