"""Intra-pair variance: cosines of positive pairs, and of negative ones, are to be alike."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._pairs import Embeddings, GroupLabels, cosines, other_label, same_label
from lossd.losses._spec import Card, Example, LossParams


class IntraPairVarianceParams(LossParams):
    """Parameters of `intra_pair_variance`."""

    positive_epsilon: float = Field(
        0.01, ge=0, le=1, description="Share of the mean that a positive pair may be below it."
    )
    negative_epsilon: float = Field(
        0.01, ge=0, le=1, description="Share of the mean that a negative pair may be above it."
    )


@loss(
    formula=r"\mathbb{E}_p [(1 - \epsilon_p) \mathbb{E}[s_p] - s_p]_+^2 + "
    r"\mathbb{E}_n [s_n - (1 + \epsilon_n) \mathbb{E}[s_n]]_+^2",
    source="Yu and Tao 2019, ICCV, Deep Metric Learning with Tuplet Margin Loss, eqs. 8 and 9",
    units="squared cosine",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Works on the spread of each kind, not on their difference.",
        use="Beside a loss that separates the two kinds, such as tuplet_margin, at weight 0.5.",
        stability="Bounded and piecewise quadratic. The gradient goes through the means too.",
        data="Labelled batches. A kind of which there is no pair costs nothing.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def intra_pair_variance(
    embeddings: Embeddings, labels: GroupLabels, *, params: IntraPairVarianceParams
) -> Float[Tensor, ""]:
    """Mean square of how far positive pairs are below their mean, and negative ones above.

    Returns one value for the batch, >= 0.
    """
    cosine = cosines(embeddings, embeddings)
    positive, negative = same_label(labels), other_label(labels)
    low = (1.0 - params.positive_epsilon) * _mean(cosine, positive) - cosine
    high = cosine - (1.0 + params.negative_epsilon) * _mean(cosine, negative)
    pulled = _mean(positive_part(low).square(), positive)
    return pulled + _mean(positive_part(high).square(), negative)


def _mean(x: Tensor, among: Tensor) -> Tensor:
    return x.masked_fill(~among, 0.0).sum() / among.sum().clamp(min=1)
