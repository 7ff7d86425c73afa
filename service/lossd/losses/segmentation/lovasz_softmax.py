"""Lovász-softmax: the convex surrogate of the Jaccard loss of several classes."""

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
    RegionParams,
    RegionProbabilities,
    counted_images,
    masks_of,
)
from lossd.losses.segmentation._sorted import lovasz_extension


class LovaszSoftmaxParams(RegionParams):
    """Parameters of `lovasz_softmax`."""

    average_over: Literal["present", "all"] = Field(
        "present", description="Which classes count: those that an image's target has, or all."
    )


@loss(
    formula=r"\frac{1}{|C|} \sum_{c \in C} \overline{\Delta_{J_c}}(m(c)),\quad"
    r" m_i(c) = |t_{ic} - p_{ic}|",
    source="Berman, Triki and Blaschko 2018, arXiv:1705.08790, eq. 9 to 11",
    units="1",
    weights=counted_images,
    exactly_one_of=ONE_OF,
    card=Card(
        characteristics="In [0, 1]; the Jaccard loss where probabilities are 0 or 1, and between "
        "them its tightest convex extension in the errors.",
        use="Segmentation judged by IoU, to finish what cross-entropy began.",
        stability="Equal errors are ranked by place, always the same. The subgradient where a "
        "probability is its target is 0.",
        data="Labels, or masks of 0 and 1.",
    ),
    example=Example(EXAMPLE),
)
def lovasz_softmax(
    logits: FiniteLogits | None = None,
    probabilities: RegionProbabilities | None = None,
    labels: IgnorableLabels | None = None,
    targets: Masks | None = None,
    *,
    params: LovaszSoftmaxParams,
) -> Float[Tensor, "rows"]:
    """The Lovász extension of the Jaccard loss of each class's errors, the mean over classes.

    Ignored pixels count nowhere. For one ranking over a whole batch, send it as one row. A target
    above 1/2 is of the region.

    Returns one value per image, in [0, 1]; 0 where all is ignored or no class is present.
    """
    p, _, t, counts = masks_of(logits, probabilities, labels, targets, params)
    truth = (t > 0.5).to(p.dtype) * counts
    costs = lovasz_extension((truth - p).abs(), truth, counts)
    present = truth.any(2)
    counted = present if params.average_over == "present" else torch.ones_like(present)
    count = counted.sum(1).clamp_min(1)
    return (costs.masked_fill(~counted, 0.0).sum(1) / count).to(p.dtype)
