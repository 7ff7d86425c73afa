"""Angular loss: the angle at the negative of each triplet is held below a bound."""

import math

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._pairs import (
    NORMALIZE,
    Embeddings,
    GroupLabels,
    log_sum_exp,
    other_label,
    positives_with_negatives,
    same_label,
    unit,
)
from lossd.losses._spec import Card, Example, LossParams


class AngularParams(LossParams):
    """Parameters of `angular`."""

    angle_degrees: float = Field(40.0, gt=0, le=89, description="alpha: the bound, in degrees.")
    normalize: bool = Field(True, description=NORMALIZE)


def _weights(labels: Tensor, *, params: AngularParams) -> Tensor:
    return positives_with_negatives(labels)


@loss(
    formula=r"\sum_p \log\left(1 + \sum_n e^{4 \tan^2 \alpha \, (a + p)^\top n - "
    r"2 (1 + \tan^2 \alpha) \, a^\top p}\right)",
    source="Wang et al. 2017, arXiv:1708.01682, eqs. 7 and 8, with every negative of the batch",
    units="nats",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows", "rows"),),
    card=Card(
        characteristics="Bounds an angle of the triangle, which does not depend on its size.",
        use="Retrieval, alone or beside n_pairs (the paper adds it at a weight of 2).",
        stability="Log-sum-exp. Angles near 90 degrees make tan^2 and the gradient very large.",
        data="Labelled batches. Time and memory grow with the cube of the rows: a few hundred.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def angular(
    embeddings: Embeddings, labels: GroupLabels, *, params: AngularParams
) -> Float[Tensor, "rows"]:
    """The loss of each of an anchor's positives against all of its negatives, added up.

    Its share of the denominator is the number of its positives.

    Returns one value per anchor, in nats, >= 0; 0 for an anchor without positive or negative.
    """
    x = unit(embeddings, params.normalize)
    bound = math.tan(math.radians(params.angle_degrees)) ** 2
    product = x @ x.T
    to_negatives = 4.0 * bound * (product[:, None, :] + product[None, :, :])
    each = to_negatives - 2.0 * (1.0 + bound) * product[:, :, None]
    among = other_label(labels)[:, None, :].expand_as(each)
    found = softplus(log_sum_exp(each, among, axis=2))
    return found.masked_fill(~same_label(labels), 0.0).sum(1)
