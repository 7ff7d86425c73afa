"""Sensitivity-specificity loss: squared errors on and off each region, each over its size."""

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
    RegionParams,
    RegionProbabilities,
    counted_images,
    masks_of,
)


class SensitivitySpecificityParams(RegionParams):
    """Parameters of `sensitivity_specificity`."""

    sensitivity_share: float = Field(
        0.05, ge=0, le=1, description="The share of the errors on the region; r in the paper."
    )


@loss(
    formula=r"r \frac{\sum (p - t)^2 t}{\sum t} + (1 - r) \frac{\sum (p - t)^2 (1 - t)}{\sum (1 "
    r"- t)}",
    source="Brosch et al. 2015, MICCAI, LNCS 9351, 3-11, eq. 4",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="In [0, 1]; a region and its surroundings weigh as r says, whatever "
        "their sizes.",
        use="Lesions that are a small share of the image.",
        stability="Smooth; no smoothing terms: an empty side costs 0.",
        data="Masks or labels, very unequal classes.",
    ),
    example=Example(EXAMPLE),
)
def sensitivity_specificity(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: SensitivitySpecificityParams,
) -> Float[Tensor, "rows"]:
    """Mean squared error on a region times r, and off it times 1 - r; the mean over classes.

    Ignored pixels count nowhere.

    Returns one value per image, in [0, 1]; 0 where all is ignored.
    """
    p, _, t, counts = masks_of(logits, probabilities, labels, targets, params)
    error = (p - t).square()
    share = params.sensitivity_share
    costs = share * _mean(error, counts * t) + (1.0 - share) * _mean(error, counts * (1.0 - t))
    return (costs.sum(1) / max(1, costs.shape[1])).to(p.dtype)


def _mean(error: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over pixels; over none it is 0."""
    size = weight.sum(2, dtype=torch.float64)
    return (error * weight).sum(2, dtype=torch.float64) / size.masked_fill(size == 0, 1.0)
