"""Triplet loss of a labelled batch, of the hardest, easiest or semi-hard triplet of each anchor."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part, softplus
from lossd.losses._pairs import (
    NORMALIZE,
    Embeddings,
    GroupLabels,
    distances,
    has_both,
    other_label,
    positives_with_negatives,
    same_label,
    unit,
)
from lossd.losses._spec import Card, Example, LossParams


class BatchTripletParams(LossParams):
    """Parameters of `batch_triplet`."""

    margin: float = Field(
        1.0, ge=0, description="How much farther the negative is to be than the positive."
    )
    positive: Literal["hard", "easy", "all"] = Field(
        "hard", description="An anchor's farthest positive, its nearest, or every one in turn."
    )
    negative: Literal["hard", "semi_hard", "easy"] = Field(
        "hard",
        description="The nearest negative; the nearest one farther than the positive, or the "
        "farthest if there is none; or the farthest.",
    )
    squared: bool = Field(False, description="Whether distances are squared.")
    form: Literal["hinge", "softplus"] = Field("hinge", description="max(0, x), or log(1 + e^x).")
    normalize: bool = Field(False, description=NORMALIZE)


def _weights(labels: Tensor, *, params: BatchTripletParams) -> Tensor:
    return positives_with_negatives(labels) if params.positive == "all" else has_both(labels)


@loss(
    formula=r"\max\left(0, m + \max_{p: y_p = y_a} D(a, p) - \min_{n: y_n \neq y_a} D(a, n)\right)",
    source="Hermans, Beyer and Leibe 2017, arXiv:1703.07737, eq. 5; semi-hard: Schroff et al. "
    "2015, "
    "arXiv:1503.03832, section 3.2; easy positive: Xuan et al. 2020, arXiv:1904.04370",
    units="distance",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Each anchor learns from one positive and one negative, found in the "
        "batch.",
        use="Re-identification and retrieval with a few rows of each of many classes per batch.",
        stability="Hardest triplets can collapse all embeddings to a point early on, and follow "
        "wrong labels; semi_hard, or an easy positive, is calmer. Which rows are chosen counts as "
        "constant.",
        data="Batches of P classes with K rows each. Anchors without positive or negative do not "
        "count; if none does, the denominator is 0.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        },
        {"margin": 0.5},
    ),
)
def batch_triplet(
    embeddings: Embeddings, labels: GroupLabels, *, params: BatchTripletParams
) -> Float[Tensor, "rows"]:
    """The loss of each anchor's triplet; with every positive in turn, their sum.

    The mean is over triplets, those that cost nothing included.

    Returns one value per anchor, >= 0; 0 for an anchor without a positive or a negative.
    """
    x = unit(embeddings, params.normalize)
    apart = distances(x, x)
    if params.squared:
        apart = apart.square()
    pairs, others = same_label(labels), other_label(labels)
    usable = pairs & others.any(1, keepdim=True)
    if params.positive != "all" and len(x):
        farthest = params.positive == "hard"
        away = apart.detach().masked_fill(~pairs, -torch.inf if farthest else torch.inf)
        chosen = away.argmax(1) if farthest else away.argmin(1)
        columns = torch.arange(len(x), device=x.device)
        usable = usable & (columns == chosen[:, None])
    short = apart - _far(apart, others, params) + params.margin
    each = positive_part(short) if params.form == "hinge" else softplus(short)
    return each.masked_fill(~usable, 0.0).sum(1)


def _far(apart: Tensor, others: Tensor, params: BatchTripletParams) -> Tensor:
    """The distance to the negative of each pair of an anchor and a positive."""
    order = apart.detach().masked_fill(~others, torch.inf).sort(1)
    last = (others.sum(1, keepdim=True) - 1).clamp(min=0)
    place = torch.zeros_like(last)
    if params.negative == "easy":
        place = last
    elif params.negative == "semi_hard":
        beyond = torch.searchsorted(order.values, apart.detach(), right=True)
        place = torch.minimum(beyond, last)
    return apart.gather(1, order.indices.gather(1, place)) if apart.numel() else apart
