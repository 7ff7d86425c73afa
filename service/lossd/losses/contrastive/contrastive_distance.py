"""Contrastive loss on distances that the caller computed."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import SimilarLabels
from lossd.losses._ops import positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams


class ContrastiveDistanceParams(LossParams):
    """Parameters of `contrastive_distance`."""

    margin: float = Field(1.0, ge=0, description="Distance wanted between dissimilar pairs.")


@loss(
    formula=r"\tfrac{1}{2}\left(Y D^2 + (1 - Y) \max(0, m - D)^2\right)",
    source="Hadsell, Chopra and LeCun 2006, CVPR, eq. 4, with Y = 1 for similar pairs (there 0)",
    units="squared distance",
    card=Card(
        characteristics="As contrastive, in any metric: the distance is the input.",
        use="Pairs whose distance the model itself computes.",
        stability="Exact.",
        data="Labelled pairs, both kinds.",
    ),
    example=Example({"distances": [0.5, 0.7, 2.0], "labels": [1, 0, 0]}),
)
def contrastive_distance(
    distances: Annotated[
        Float[Tensor, "rows"], Arg(doc="Distance of each pair.", gradient=True, low=0)
    ],
    labels: SimilarLabels,
    *,
    params: ContrastiveDistanceParams,
) -> Float[Tensor, "rows"]:
    """Half the squared distance of a similar pair, or half the squared lack of distance of another.

    Returns one value per pair, >= 0.
    """
    too_near = positive_part(params.margin - distances).square()
    return 0.5 * torch.where(labels == 1, distances.square(), too_near)
