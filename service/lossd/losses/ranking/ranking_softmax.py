"""Softmax loss of a list: log-probability of each document coming first, times its relevance."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.ranking import _lists
from lossd.losses.ranking._lists import (
    DocumentMask,
    DocumentScores,
    GradedRelevance,
    log_softmax_of_present,
    present,
)


class RankingSoftmaxParams(LossParams):
    """Parameters of `ranking_softmax`."""

    normalize_relevance: bool = Field(
        False, description="Whether the relevance of a list is divided by its sum."
    )


def weight_of_list(
    params: RankingSoftmaxParams,
    relevance: Float[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list that has a document."""
    return _lists.weight_of_list(relevance, mask)


@loss(
    formula=r"-\sum_i y_i \log \operatorname{softmax}(s)_i",
    source="Bruch et al. 2019, An Analysis of the Softmax Cross Entropy Loss for "
    "Learning-to-Rank with Binary Relevance, eq. 3",
    units="nats",
    weights=weight_of_list,
    card=Card(
        characteristics="A bound on mean reciprocal rank and, for binary relevance, on NDCG.",
        use="Retrieval and recommendation: one relevant document among many, or clicks.",
        stability="Stable for any finite score; lists of more relevance weigh more.",
        data="Binary or graded relevance; lists without any give 0 and no gradient.",
    ),
    example=Example({"scores": [[1.0, 0.2, -0.5]], "relevance": [[1.0, 0.0, 0.5]]}),
)
def ranking_softmax(
    scores: DocumentScores,
    relevance: GradedRelevance,
    mask: DocumentMask | None = None,
    *,
    params: RankingSoftmaxParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy of the softmax of a list's scores with its relevance.

    Returns one value per list, in nats, >= 0; 0 where nothing is relevant.
    """
    there = present(relevance, mask)
    target = relevance.masked_fill(~there, 0.0)
    if params.normalize_relevance:
        total = target.sum(1, keepdim=True)
        target = target / total.masked_fill(total == 0, 1.0)
    return -(target * log_softmax_of_present(scores, there)).sum(1)
