"""Tuplet margin loss: each positive, its angle eased by a slack, against all negatives."""

import math

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction, softplus
from lossd.losses._pairs import (
    Embeddings,
    GroupLabels,
    log_sum_exp,
    other_label,
    positives_with_negatives,
    same_label,
    sines,
)
from lossd.losses._spec import Card, Example, LossParams


class TupletMarginParams(LossParams):
    """Parameters of `tuplet_margin`."""

    margin: float = Field(
        0.1, ge=0, le=1.5, description="Angle taken off that of a positive pair, in radians."
    )
    scale: float = Field(64.0, gt=0, le=1e6, description="What cosines are multiplied by.")


def _weights(labels: Tensor, *, params: TupletMarginParams) -> Tensor:
    return positives_with_negatives(labels)


@loss(
    formula=r"\sum_p \log\left(1 + \sum_n e^{s (\cos\theta_{an} - \cos(\theta_{ap} - \beta))}"
    r"\right)",
    source="Yu and Tao 2019, ICCV, Deep Metric Learning with Tuplet Margin Loss, eq. 4",
    units="nats",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"), ("rows", "rows"), ("rows", "rows")),
    card=Card(
        characteristics="The slack spares triplets that are too hard, against overfitting; the "
        "scale looks at the hardest negatives.",
        use="Retrieval, with intra_pair_variance beside it in the paper.",
        stability="Log-sum-exp; sines come from chords, so that small angles are exact. Equal "
        "directions are a kink, where the sine has gradient 0.",
        data="Labelled batches. Anchors without a positive or a negative do not count.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        },
        {"scale": 4.0},
    ),
)
def tuplet_margin(
    embeddings: Embeddings, labels: GroupLabels, *, params: TupletMarginParams
) -> Float[Tensor, "rows"]:
    """The loss of each of an anchor's positives against all of its negatives, added up.

    pytorch-metric-learning gives the margin in degrees: its 5.73 is 0.1 here.

    Returns one value per anchor, in nats, >= 0; 0 for an anchor without positive or negative.
    """
    x = direction(embeddings)
    cosine = x @ x.T
    eased = cosine * math.cos(params.margin) + sines(x, x) * math.sin(params.margin)
    near = log_sum_exp(params.scale * cosine, other_label(labels)).unsqueeze(1)
    each = softplus(near - params.scale * eased)
    return each.masked_fill(~same_label(labels), 0.0).sum(1)
