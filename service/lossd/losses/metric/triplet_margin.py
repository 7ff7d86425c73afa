"""Triplet loss: an anchor is nearer to its positive than to its negative, by a margin."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction, positive_part, softplus
from lossd.losses._pairs import Embeddings
from lossd.losses._spec import Arg, Card, Example, LossParams


class TripletMarginParams(LossParams):
    """Parameters of `triplet_margin`."""

    margin: float = Field(
        1.0, ge=0, description="How much farther the negative is to be than the positive."
    )
    metric: Literal["lp", "cosine"] = Field(
        "lp", description="Distance: the p-norm of the difference, or 1 - cosine."
    )
    p: float = Field(2.0, ge=1, le=16, description="The p of the norm.")
    squared: bool = Field(False, description="Whether distances are squared (FaceNet).")
    swap: bool = Field(
        False,
        description="Whether the negative counts from the positive where that is nearer.",
    )
    form: Literal["hinge", "softplus"] = Field(
        "hinge", description="max(0, x), or log(1 + e^x), which never is quite satisfied."
    )


@loss(
    formula=r"\max(0, D(a, p) - D(a, n) + m)",
    source="Schroff, Kalenichenko and Philbin 2015, arXiv:1503.03832, eq. 3 (squared); swap: "
    "Balntas "
    "et al. 2016, BMVC, section 3.3; softplus: Hermans et al. 2017, arXiv:1703.07737, section 2",
    units="distance",
    card=Card(
        characteristics="Only the difference of two distances matters, not their size.",
        use="Retrieval and re-identification where the caller chose the triplets.",
        stability="At distance 0 the gradient is 0, never NaN, and no epsilon is added to the "
        "difference. Squared distances of long vectors grow fast: normalise first.",
        data="Triplets; most of random ones soon cost nothing, so how they are chosen decides.",
    ),
    example=Example(
        {
            "anchors": [[1.0, 0.0], [0.5, 0.5]],
            "positives": [[0.8, 0.4], [0.0, 1.0]],
            "negatives": [[0.0, 1.0], [0.6, 0.4]],
        }
    ),
)
def triplet_margin(
    anchors: Embeddings,
    positives: Annotated[
        Float[Tensor, "rows features"], Arg(doc="Of the anchor's kind.", gradient=True)
    ],
    negatives: Annotated[
        Float[Tensor, "rows features"], Arg(doc="Of another kind.", gradient=True)
    ],
    *,
    params: TripletMarginParams,
) -> Float[Tensor, "rows"]:
    """By how much the negative is not farther from the anchor than the positive and the margin.

    Both kinks, at the margin and at distance 0, have gradient 0.

    Returns one value per triplet, >= 0.
    """
    near = _distance(anchors, positives, params)
    far = _distance(anchors, negatives, params)
    if params.swap:
        other = _distance(positives, negatives, params)
        far = torch.where(other < far, other, far)
    short = near - far + params.margin
    return positive_part(short) if params.form == "hinge" else softplus(short)


def _distance(left: Tensor, right: Tensor, params: TripletMarginParams) -> Tensor:
    if params.metric == "cosine":
        apart = 1.0 - (direction(left) * direction(right)).sum(1)
        return apart.square() if params.squared else apart
    difference = left - right
    if params.squared and params.p == 2:
        return difference.square().sum(1)
    length: Tensor = torch.linalg.vector_norm(difference, ord=params.p, dim=1)
    return length.square() if params.squared else length
