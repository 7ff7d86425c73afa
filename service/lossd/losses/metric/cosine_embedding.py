"""Cosine embedding loss: partners to cosine 1, others below a margin."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction, positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams


class CosineEmbeddingParams(LossParams):
    """Parameters of `cosine_embedding`."""

    margin: float = Field(
        0.0, ge=-1, le=1, description="Cosine below which a dissimilar pair costs nothing."
    )


@loss(
    formula=r"1 - \cos\theta \text{ if } y = 1, \quad \max(0, \cos\theta - m) \text{ if } y = -1",
    source="torch.nn.CosineEmbeddingLoss, without its epsilon",
    units="cosine",
    card=Card(
        characteristics="Linear in the cosine on both sides; dissimilar pairs are left alone below "
        "the margin.",
        use="Similar and dissimilar pairs of sentences or images whose lengths mean nothing.",
        stability="A zero vector has cosine 0 and no gradient. A label of 0 is refused: torch "
        "takes it and counts the pair as 0.",
        data="Labelled pairs, 1 or -1, both kinds.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.8, 0.6], [0.1, 1.0], [1.0, -0.5]],
            "labels": [1, -1, -1],
        },
        {"margin": 0.2},
    ),
)
def cosine_embedding(
    left: Annotated[Float[Tensor, "rows features"], Arg(doc="Embeddings.", gradient=True)],
    right: Annotated[Float[Tensor, "rows features"], Arg(doc="Their partners.", gradient=True)],
    labels: Annotated[
        Int[Tensor, "rows"], Arg(doc="1: the pair is similar; -1: it is not.", values=(-1, 1))
    ],
    *,
    params: CosineEmbeddingParams,
) -> Float[Tensor, "rows"]:
    """1 - cosine of a similar pair, or by how much the cosine of another is above the margin.

    Returns one value per pair, >= 0.
    """
    cosine = (direction(left) * direction(right)).sum(1)
    return torch.where(labels == 1, 1.0 - cosine, positive_part(cosine - params.margin))
