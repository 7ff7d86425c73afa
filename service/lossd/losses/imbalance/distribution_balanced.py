"""Distribution-balanced loss: multilabel, long-tailed, with labels that come together."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class DistributionBalancedParams(LossParams):
    """Parameters of `distribution_balanced`."""

    map_offset: float = Field(0.1, ge=0, le=10, description="Least weight of an element.")
    map_slope: float = Field(10.0, ge=0, le=100, description="Steepness of the weight's map.")
    map_center: float = Field(
        0.2, ge=0, le=1, description="Ratio of sampling probabilities at the map's middle."
    )
    negative_scale: float = Field(
        2.0,
        gt=0,
        le=100,
        description="What logits of negatives are multiplied by; 1: tolerates none.",
    )
    prior_scale: float = Field(
        0.05, ge=0, le=10, description="Factor of the class's log odds that logits are shifted by."
    )
    gamma: float = Field(2.0, ge=0, le=16, description="Focus of the focal factor, 0 for none.")
    focal_scale: float = Field(
        2.0, ge=0, le=100, description="Factor of all, where gamma is not 0."
    )


@loss(
    formula=r"(\alpha + \sigma(\beta (r - \mu))) \left[ y\, f(-u) + (1 - y) f(\lambda u) / \lambda"
    r"\right],\quad f(x) = c\,\sigma(x)^\gamma \log(1 + e^x),"
    r"\ u = z - \tfrac{\kappa}{\lambda} \log(N/n - 1),\ r = \frac{1 / n}{\sum_j y_j / n_j}",
    source="Wu et al. 2020, arXiv:2007.09654, section 3, with the focal factor of DB-Focal",
    units="nats",
    card=Card(
        characteristics="Weighs an element by how much its row's other labels already bring its "
        "class up, and lets go of negatives that are clear.",
        use="Long-tailed multilabel data sampled by class; asymmetric where labels are balanced.",
        stability="Powers and logarithms are taken of the logit. The weight has no gradient, as it "
        "depends on targets only; a row without positives has the largest.",
        data="Counts of positives per class, and the number of training items. Counts are moved "
        "into [1, N - 1], where odds are finite.",
    ),
    example=Example(
        {
            "logits": [[2.0, -1.0, 0.5], [0.5, 0.0, -1.5]],
            "targets": [[1, 0, 1], [0, 1, 0]],
            "class_counts": [60, 20, 5],
            "item_count": 100,
        }
    ),
)
def distribution_balanced(
    logits: Annotated[Float[Tensor, "rows classes"], Arg(doc="Raw scores.", gradient=True)],
    targets: Annotated[
        Float[Tensor, "rows classes"],
        Arg(doc="Probability that the item is of the class.", low=0, high=1),
    ],
    class_counts: Annotated[
        Float[Tensor, "classes"], Arg(doc="Training items that are of each class.", low=0)
    ],
    item_count: Annotated[
        Float[Tensor, ""], Arg(doc="Training items, of whatever classes.", low=2)
    ],
    *,
    params: DistributionBalancedParams,
) -> Float[Tensor, "rows classes"]:
    """Weighted focal cross-entropy of each class's own question, one value per element, >= 0.

    A target between 0 and 1 mixes positive and negative.
    """
    counts = torch.minimum(class_counts.clamp_min(1.0), item_count - 1.0)
    shift = params.prior_scale / params.negative_scale * torch.log(item_count / counts - 1.0)
    shifted, scale = logits - shift, params.negative_scale
    positive = _focal(-shifted, params)
    negative = _focal(scale * shifted, params) / scale
    return _weight(targets, 1.0 / counts, params) * (
        targets * positive + (1.0 - targets) * negative
    )


def _weight(targets: Tensor, rarity: Tensor, params: DistributionBalancedParams) -> Tensor:
    together = (targets * rarity).sum(1, keepdim=True)
    alone = together == 0
    ratio = rarity / together.masked_fill(alone, 1.0)
    mapped = torch.sigmoid(params.map_slope * (ratio - params.map_center))
    return params.map_offset + mapped.masked_fill(alone, 1.0)


def _focal(x: Tensor, params: DistributionBalancedParams) -> Tensor:
    if not params.gamma:
        return softplus(x)
    return params.focal_scale * torch.exp(-params.gamma * softplus(-x)) * softplus(x)
