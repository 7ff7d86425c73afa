"""Bayesian personalised ranking: what was chosen should score above what was not."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class BprParams(LossParams):
    """`bpr` has no parameters."""


@loss(
    formula=r"-\frac{1}{n} \sum_j \log \sigma(s^+ - s^-_j)",
    source="Rendle et al. 2009, arXiv:1205.2618, section 4.1, without the prior",
    units="nats",
    card=Card(
        characteristics="Logistic loss of pairs: a smooth stand-in for the area under the curve.",
        use="Recommendation from clicks and purchases, with sampled negatives.",
        stability="Stable for any finite score. Almost all random negatives are easy in the end.",
        data="Implicit feedback. The prior of the paper is an l2_penalty on the factors.",
    ),
    example=Example({"positive_scores": [1.0, 0.2], "negative_scores": [[0.5, -1.0], [0.4, 0.1]]}),
)
def bpr(
    positive_scores: Annotated[
        Float[Tensor, "rows"], Arg(doc="Score of the item that was chosen.", gradient=True)
    ],
    negative_scores: Annotated[
        Float[Tensor, "rows negatives"],
        Arg(doc="Scores of items that were not.", gradient=True),
    ],
    *,
    params: BprParams,
) -> Float[Tensor, "rows"]:
    """Logistic loss of a chosen item against each of its negatives, averaged.

    Returns one value per chosen item, in nats, >= 0; 0 without negatives.
    """
    losses = softplus(negative_scores - positive_scores.unsqueeze(1))
    return losses.sum(1) / max(1, negative_scores.shape[1])
