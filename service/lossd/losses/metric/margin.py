"""Margin loss: positives within a learned boundary of distance, negatives beyond, by a margin."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._pairs import (
    NORMALIZE,
    ClassLabels,
    Embeddings,
    distances,
    other_label,
    positives_with_negatives,
    same_label,
    unit,
)
from lossd.losses._spec import Arg, Card, Example, LossParams


class MarginParams(LossParams):
    """Parameters of `margin`."""

    margin: float = Field(0.2, ge=0, description="alpha: wanted on either side of the boundary.")
    negatives: Literal["all", "distance_weighted"] = Field(
        "all",
        description="Every negative, or for each positive the mean over negatives, weighted so "
        "that all distances on the sphere count alike (the expected value of the paper's draw).",
    )
    nearest: float = Field(
        0.5, ge=0.01, lt=2, description="Weights do not grow below this distance."
    )
    farthest: float = Field(
        1.4, gt=0, lt=2, description="Negatives from this distance on have weight 0."
    )
    normalize: bool = Field(True, description=NORMALIZE)


def _weights(labels: Tensor, *, params: MarginParams) -> Tensor:
    if params.negatives == "distance_weighted":
        return 2.0 * positives_with_negatives(labels)
    return torch.full_like(labels, len(labels) - 1, dtype=torch.float64)


@loss(
    formula=r"\sum_{j \neq i} \max(0, \alpha + y_{ij} (D_{ij} - \beta_{y_i})), \quad "
    r"y_{ij} = 1 \text{ if the labels are equal, else } -1",
    source="Wu et al. 2017, arXiv:1706.07567, eq. 6; distance-weighted negatives: section 4",
    units="distance",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Pairs, as contrastive, but the boundary between the two kinds is learned, "
        "per class if wanted.",
        use="Retrieval with many classes.",
        stability="At distance 0 the gradient is 0. Of all pairs most are negative and cost "
        "nothing; distance_weighted evens that out. Its weights count as constant.",
        data="Labelled batches. Give beta one entry per class, equal ones for a common boundary "
        "(1.2 to start with).",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
            "beta": [0.6, 0.6],
        }
    ),
)
def margin(
    embeddings: Embeddings,
    labels: ClassLabels,
    beta: Annotated[
        Float[Tensor, "classes"],
        Arg(
            doc="The boundary of each class, a distance; that of the anchor counts.", gradient=True
        ),
    ],
    *,
    params: MarginParams,
) -> Float[Tensor, "rows"]:
    """The losses of a row's pairs, added up; its share of the denominator is their number.

    Distance-weighted, each positive has one negative, the weighted mean, so these are twice the
    positives. The density of distances is that of the unit sphere: normalise.

    Returns one value per row, >= 0.
    """
    x = unit(embeddings, params.normalize)
    apart = distances(x, x)
    beyond = apart - beta[labels].unsqueeze(1)
    positive, negative = same_label(labels), other_label(labels)
    pulled = positive_part(params.margin + beyond).masked_fill(~positive, 0.0)
    pushed = positive_part(params.margin - beyond).masked_fill(~negative, 0.0)
    if params.negatives == "all":
        return (pulled + pushed).sum(1)
    has_negative = negative.any(1)
    share = _shares(apart.detach(), negative, x.shape[1], params)
    count = positive.sum(1) * has_negative
    return pulled.sum(1) * has_negative + count * (share * pushed).sum(1)


def _shares(apart: Tensor, negative: Tensor, features: int, params: MarginParams) -> Tensor:
    """Weights of negatives, one over the density of their distances; 0 all where none is near."""
    among = negative & (apart < params.farthest)
    near = apart.clamp(params.nearest, max(params.nearest, params.farthest))
    room = torch.log1p(-near.square() / 4.0)
    log_weight = -(features - 2) * near.log() - 0.5 * (features - 3) * room
    nothing = ~among.any(1, keepdim=True)
    kept = log_weight.masked_fill(~among & ~nothing, -torch.inf).masked_fill(nothing, 0.0)
    return torch.softmax(kept, dim=1).masked_fill(nothing, 0.0)
