"""Hausdorff loss by distance transforms: errors weighed by their distance to both outlines."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import power
from lossd.losses._spec import Card, Example
from lossd.losses.segmentation._distances import PredictedDistance, TargetDistance
from lossd.losses.segmentation._regions import (
    ONE_OF,
    Masks,
    RegionParams,
    RegionProbabilities,
    counted_images,
    masks_of,
)


class HausdorffParams(RegionParams):
    """Parameters of `hausdorff`."""

    alpha: float = Field(2.0, ge=0, le=10, description="The power of the distances.")


@loss(
    formula=r"\frac{1}{|\Omega|} \sum_{x \in \Omega} (p - t)^2 (d_p^\alpha + d_t^\alpha)",
    source="Karimi and Salcudean 2019, arXiv:1904.10030, eq. 8",
    units="pixels to the power alpha",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="Errors far from the outline cost most, as they make the Hausdorff "
        "distance large.",
        use="Beside `dice`, where single far errors must go.",
        stability="As far as the distances go: scale it to the other loss, as the paper does.",
        data="Masks, and the distance maps of target and prediction, from any distance transform.",
    ),
    example=Example(
        {
            "logits": [[[0.5, -1.0, 0.3], [1.2, 0.3, -0.4]]],
            "labels": [[1, 0, 0]],
            "predicted_distance": [[[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]]],
            "target_distance": [[[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]]],
        }
    ),
)
def hausdorff(
    predicted_distance: PredictedDistance,
    target_distance: TargetDistance,
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: HausdorffParams,
) -> Float[Tensor, "rows"]:
    """The mean over an image's classes and pixels of squared error times distance to a power.

    The distances count as constant; with alpha 0 both weigh 1. Ignored pixels are no part of it.

    Returns one value per image, >= 0; 0 where all is ignored.
    """
    p, _, t, counts = masks_of(logits, probabilities, labels, targets, params)
    first = 0 if params.include_background else 1
    weight = power(predicted_distance, params.alpha) + power(target_distance, params.alpha)
    weight = weight.unsqueeze(2).flatten(2)[:, first:]
    total = (counts * (p - t).square() * weight).flatten(1).sum(1, dtype=torch.float64)
    return (total / counts.flatten(1).sum(1).clamp_min(1)).to(p.dtype)
