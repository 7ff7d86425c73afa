"""Generalized Dice loss: one overlap of all classes, small ones weighing as much as large ones."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._spec import Card, Example
from lossd.losses.segmentation._regions import (
    EXAMPLE,
    ONE_OF,
    Masks,
    RegionProbabilities,
    SmoothParams,
    counted_images,
    regions_of,
    shortfall,
)


class GeneralizedDiceParams(SmoothParams):
    """Parameters of `generalized_dice`."""

    class_weighting: Literal["square", "simple", "uniform"] = Field(
        "square", description="A class weighs 1 / volume^2, 1 / volume, or 1."
    )


@loss(
    formula=r"1 - \frac{2 \sum_k w_k \sum p_k t_k + s}{\sum_k w_k (\sum p_k + \sum t_k) + "
    r"s'},\quad w_k = \left(\sum t_k\right)^{-2}",
    source="Sudre et al. 2017, arXiv:1707.03237, section 2.1",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="In [0, 1]; one ratio of sums, where `dice` is a mean of ratios.",
        use="Classes of very unequal volume.",
        stability="A class that the target lacks has no volume; it weighs as much as the "
        "heaviest that is there, or 1 where there is none.",
        data="Masks or labels with several classes.",
    ),
    example=Example(EXAMPLE),
)
def generalized_dice(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: GeneralizedDiceParams,
) -> Float[Tensor, "rows"]:
    """One minus twice the weighted overlap over the weighted volumes of all classes.

    Ignored pixels count nowhere. For the overlap over a whole batch, send it as one row.

    Returns one value per image, in [0, 1] with equal smoothing terms; 0 where all is ignored.
    """
    regions = regions_of(logits, probabilities, labels, targets, params)
    volume = (regions.true_positive + regions.false_negative).detach()
    power = {"square": 2, "simple": 1, "uniform": 0}[params.class_weighting]
    weight = (1.0 / volume.masked_fill(~regions.present, 1.0).pow(power)).masked_fill(
        ~regions.present, 0.0
    )
    heaviest = weight.amax(1, keepdim=True) if weight.shape[1] else weight.sum(1, keepdim=True)
    weight = torch.where(regions.present, weight, heaviest.masked_fill(heaviest == 0, 1.0))
    part = (2.0 * weight * regions.true_positive).sum(1)
    missing = (weight * (regions.false_positive + regions.false_negative)).sum(1)
    return shortfall(part, missing, params).to(regions.dtype)
