"""Triplet loss of a labelled batch, of every triplet in it."""

from typing import Literal

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
    other_label,
    positives_with_negatives,
    same_label,
    unit,
)
from lossd.losses._spec import Card, Example, LossParams


class BatchAllTripletParams(LossParams):
    """Parameters of `batch_all_triplet`."""

    margin: float = Field(
        1.0, ge=0, description="How much farther the negative is to be than the positive."
    )
    select: Literal["all", "hard", "semi_hard"] = Field(
        "all",
        description="All triplets; those whose negative is nearer than the positive; or those "
        "whose negative is farther, but by less than the margin. Others cost 0.",
    )
    squared: bool = Field(False, description="Whether distances are squared.")
    form: Literal["hinge", "softplus"] = Field("hinge", description="max(0, x), or log(1 + e^x).")
    normalize: bool = Field(False, description=NORMALIZE)


def _weights(labels: Tensor, *, params: BatchAllTripletParams) -> Tensor:
    return positives_with_negatives(labels) * other_label(labels).sum(1)


@loss(
    formula=r"\sum_{p: y_p = y_a} \sum_{n: y_n \neq y_a} \max(0, m + D(a, p) - D(a, n))",
    source="Hermans, Beyer and Leibe 2017, arXiv:1703.07737, eq. 6",
    units="distance",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows", "rows"),),
    card=Card(
        characteristics="Averages over all triplets of the batch, most of which soon cost nothing.",
        use="Small batches; a steadier start than the hardest triplets of batch_triplet.",
        stability="Smooth but for the hinge; outliers and wrong labels have little weight. The "
        "mean is over all triplets, not over those that cost something: late in training it is "
        "small, and the learning rate may need to follow.",
        data="Labelled batches. Time and memory grow with the cube of the rows: a few hundred.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        },
        {"margin": 0.5},
    ),
)
def batch_all_triplet(
    embeddings: Embeddings, labels: GroupLabels, *, params: BatchAllTripletParams
) -> Float[Tensor, "rows"]:
    """The sum of an anchor's triplets; its share of the mean's denominator is their number.

    pytorch-metric-learning and sentence-transformers divide by the triplets that cost more than 0.

    Returns one value per anchor, >= 0; 0 for an anchor without a positive or a negative.
    """
    x = unit(embeddings, params.normalize)
    apart = distances(x, x)
    if params.squared:
        apart = apart.square()
    near, far = apart[:, :, None], apart[:, None, :]
    chosen = same_label(labels)[:, :, None] & other_label(labels)[:, None, :]
    if params.select == "hard":
        chosen = chosen & (far < near)
    elif params.select == "semi_hard":
        chosen = chosen & (far > near) & (far < near + params.margin)
    short = near - far + params.margin
    each = positive_part(short) if params.form == "hinge" else softplus(short)
    return each.masked_fill(~chosen, 0.0).sum((1, 2))
