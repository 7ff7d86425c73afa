"""FastAP: one less the average precision of each row's neighbours, by a histogram of distances."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction
from lossd.losses._pairs import Embeddings, GroupLabels, distances, other_label, same_label
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.metric._histograms import soft_histogram


class FastApParams(LossParams):
    """Parameters of `fast_ap`."""

    bins: int = Field(10, ge=1, le=10_000, description="Intervals of the histogram.")


def _weights(labels: Tensor, *, params: FastApParams) -> Tensor:
    return same_label(labels).any(1).to(torch.float64)


@loss(
    formula=r"1 - \frac{1}{N^+} \sum_j \frac{h_j^+ H_j^+}{H_j}",
    source="Cakir et al. 2019, CVPR, Deep Metric Learning to Rank, eq. 10",
    units="1 - average precision",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Optimises a ranking of the whole batch, not pairs: what is retrieved "
        "first counts most.",
        use="Retrieval that is judged by mean average precision; large batches.",
        stability="Piecewise smooth, with kinks where a distance meets a node. Distances that are "
        "far apart from all others get no gradient. More bins are nearer to the true precision.",
        data="Labelled batches, the larger the better. Rows without a positive do not count.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def fast_ap(
    embeddings: Embeddings, labels: GroupLabels, *, params: FastApParams
) -> Float[Tensor, "rows"]:
    """1 - average precision, of squared distances between directions, from 0 to 4.

    Returns one value per row, from 0 to 1; 0 for a row without a positive.
    """
    x = direction(embeddings)
    apart = distances(x, x).square()
    positive = same_label(labels)
    found = soft_histogram(apart, positive, 0.0, 4.0, params.bins)
    others = soft_histogram(apart, other_label(labels), 0.0, 4.0, params.bins)
    total_found, total = found.cumsum(1), (found + others).cumsum(1)
    nothing = total <= 0
    precision = (total_found / total.masked_fill(nothing, 1.0)).masked_fill(nothing, 0.0)
    count = positive.sum(1)
    average = (found * precision).sum(1) / count.clamp(min=1)
    return (1.0 - average).masked_fill(count == 0, 0.0)
