"""Margin loss: positives within a learned boundary of distance, negatives beyond, by a margin."""

from typing import Annotated

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
    same_label,
    unit,
)
from lossd.losses._spec import Arg, Card, Example, LossParams


class MarginParams(LossParams):
    """Parameters of `margin`."""

    margin: float = Field(0.2, ge=0, description="alpha: wanted on either side of the boundary.")
    normalize: bool = Field(True, description=NORMALIZE)


def _weights(labels: Tensor, *, params: MarginParams) -> Tensor:
    return torch.full_like(labels, len(labels) - 1, dtype=torch.float64)


@loss(
    formula=r"\sum_{j \neq i} \max(0, \alpha + y_{ij} (D_{ij} - \beta_{y_i})), \quad "
    r"y_{ij} = 1 \text{ if the labels are equal, else } -1",
    source="Wu et al. 2017, arXiv:1706.07567, eq. 6",
    units="distance",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Pairs, as contrastive, but the boundary between the two kinds is learned, "
        "per class if wanted.",
        use="Retrieval with many classes.",
        stability="At distance 0 the gradient is 0. The mean is over all pairs, most of which are "
        "negative and cost nothing; the paper samples negatives by distance instead.",
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

    Returns one value per row, >= 0.
    """
    x = unit(embeddings, params.normalize)
    beyond = distances(x, x) - beta[labels].unsqueeze(1)
    positive, negative = same_label(labels), other_label(labels)
    pulled = positive_part(params.margin + beyond).masked_fill(~positive, 0.0)
    return (pulled + positive_part(params.margin - beyond).masked_fill(~negative, 0.0)).sum(1)
