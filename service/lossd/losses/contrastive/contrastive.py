"""Contrastive loss on pairs of embeddings: similar ones together, others a margin apart."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import SimilarLabels
from lossd.losses._ops import direction, distance, positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams


class ContrastiveParams(LossParams):
    """Parameters of `contrastive`."""

    margin: float = Field(1.0, ge=0, description="Distance wanted between dissimilar pairs.")
    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="Distance: euclidean, or 1 - cosine."
    )


@loss(
    formula=r"\tfrac{1}{2}\left(Y D^2 + (1 - Y) \max(0, m - D)^2\right)",
    source="Hadsell, Chopra and LeCun 2006, CVPR, eq. 4, with Y = 1 for similar pairs (there 0)",
    units="squared distance",
    card=Card(
        characteristics="Pulls similar pairs to distance 0, pushes others to the margin, no more.",
        use="Siamese networks on labelled pairs.",
        stability="At distance 0 the gradient is 0, never NaN. Embeddings are not normalised.",
        data="Labelled pairs, both kinds; hard negatives matter, the rest soon have no gradient.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.5, 0.0], [0.0, 0.5], [0.0, 0.5]],
            "labels": [1, 0, 0],
        }
    ),
)
def contrastive(
    left: Annotated[Float[Tensor, "rows dim"], Arg(doc="Embeddings.", gradient=True)],
    right: Annotated[Float[Tensor, "rows dim"], Arg(doc="Their partners.", gradient=True)],
    labels: SimilarLabels,
    *,
    params: ContrastiveParams,
) -> Float[Tensor, "rows"]:
    """Half the squared distance of a similar pair, or half the squared lack of distance of another.

    The cosine of a zero vector with anything is 0, with gradient 0.

    Returns one value per pair, >= 0.
    """
    if params.metric == "cosine":
        apart = 1.0 - (direction(left) * direction(right)).sum(1)
        squared = apart.square()
    else:
        apart = distance(left, right)
        squared = (left - right).square().sum(1)
    too_near = positive_part(params.margin - apart).square()
    return 0.5 * torch.where(labels == 1, squared, too_near)
