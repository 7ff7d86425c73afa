"""Histogram loss: the chance that a random negative pair is more alike than a positive one."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import Embeddings, GroupLabels, cosines, other_label, same_label
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._histograms import soft_histogram


class HistogramParams(LossParams):
    """Parameters of `histogram`."""

    bins: int = Field(100, ge=1, le=10_000, description="Intervals from cosine -1 to 1.")


@loss(
    formula=r"\sum_r h_r^- \sum_{q \leq r} h_q^+",
    source="Ustinova and Lempitsky 2016, arXiv:1611.00822, eqs. 2 and 4",
    units="probability",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Compares the two distributions of cosines; has nothing to tune but the "
        "bins.",
        use="Retrieval and re-identification without margins and mining.",
        stability="Piecewise linear, with kinks where a cosine meets a node. Pairs that are clear "
        "already get no gradient.",
        data="Labelled batches, large enough to fill the histograms. Without a positive or a "
        "negative pair the value is 0.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        },
        {"bins": 10},
    ),
)
def histogram(
    embeddings: Embeddings, labels: GroupLabels, *, params: HistogramParams
) -> Float[Tensor, ""]:
    """Mass of the negatives' histogram times that of the positives' up to there, added up.

    Returns one value for the batch, from 0 to 1.
    """
    cosine = cosines(embeddings, embeddings).reshape(1, -1)
    positive, negative = same_label(labels).view(1, -1), other_label(labels).view(1, -1)
    found = soft_histogram(cosine, positive, -1.0, 1.0, params.bins)[0] / positive.sum().clamp(
        min=1
    )
    others = soft_histogram(cosine, negative, -1.0, 1.0, params.bins)[0] / negative.sum().clamp(
        min=1
    )
    return (others * found.cumsum(0)).sum()
