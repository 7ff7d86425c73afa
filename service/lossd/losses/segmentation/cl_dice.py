"""Centerline Dice: whether the skeletons of thin structures lie in each other's regions."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._spec import Card, Example
from lossd.losses.segmentation._regions import (
    ONE_OF,
    Masks,
    RegionParams,
    RegionProbabilities,
    counted_images,
    masks_of,
)
from lossd.losses.segmentation._skeleton import soft_skeleton


class ClDiceParams(RegionParams):
    """Parameters of `cl_dice`."""

    iterations: int = Field(
        3, ge=0, le=100, description="Erosions: about half the width of the thickest structure."
    )
    smooth: float = Field(1.0, gt=0, description="Added to both parts of both ratios.")


@loss(
    formula=r"1 - \frac{2 P S}{P + S},\quad P = \frac{\sum S_p t + s}{\sum S_p + s},"
    r"\quad S = \frac{\sum S_t p + s}{\sum S_t + s}",
    source="Shit et al. 2021, arXiv:2003.07311, eq. 1 and 2, algorithms 1 and 2",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="In [0, 1]; a gap in a vessel costs as much as its length, not its area.",
        use="Vessels, roads, neurons: beside `dice`, which cares for the width.",
        stability="Piecewise smooth in the probabilities; equal neighbours share the gradient.",
        data="Masks of thin structures, in two or three dimensions.",
    ),
    example=Example(
        {
            "probabilities": [[[[0.1, 0.2, 0.1], [0.8, 0.9, 0.7], [0.3, 0.1, 0.2]]]],
            "targets": [[[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]]],
        }
    ),
)
def cl_dice(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: ClDiceParams,
) -> Float[Tensor, "rows"]:
    """One minus the harmonic mean of the skeletons' precision and sensitivity.

    The sums run over an image's classes and pixels. Ignored pixels are of no region.

    Returns one value per image, in [0, 1]; 0 where all is ignored.
    """
    p, _, t, counts = masks_of(logits, probabilities, labels, targets, params)
    given = logits if logits is not None else probabilities
    assert given is not None
    shape = (*p.shape[:2], *given.shape[2:])
    predicted = soft_skeleton((p * counts).reshape(shape), params.iterations)
    true = soft_skeleton((t * counts).reshape(shape), params.iterations)
    precision = _share(predicted, (t * counts).reshape(shape), params.smooth)
    sensitivity = _share(true, (p * counts).reshape(shape), params.smooth)
    value = 1.0 - 2.0 * precision * sensitivity / (precision + sensitivity)
    nothing = ~(counts > 0).flatten(1).any(1)
    return value.masked_fill(nothing, 0.0).to(p.dtype)


def _share(skeleton: Tensor, region: Tensor, smooth: float) -> Tensor:
    """How much of a skeleton lies in a region."""
    inside = (skeleton * region).flatten(1).sum(1, dtype=torch.float64)
    return (inside + smooth) / (skeleton.flatten(1).sum(1, dtype=torch.float64) + smooth)
