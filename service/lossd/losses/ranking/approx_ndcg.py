"""ApproxNDCG: one minus NDCG, with ranks made smooth."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.ranking._lists import (
    DOCUMENT_PAIRS,
    DocumentMask,
    DocumentScores,
    GradedRelevance,
    discounts,
    gains,
    present,
    share_of_best,
    soft_ranks,
)


class ApproxNdcgParams(LossParams):
    """Parameters of `approx_ndcg`."""

    temperature: float = Field(
        1.0, gt=0, description="In units of the score: the lower, the nearer to true ranks."
    )


def weight_of_list(
    params: ApproxNdcgParams,
    relevance: Float[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list that has a relevant document."""
    there = present(relevance, mask)
    return ((relevance > 0) & there).any(1).double()


@loss(
    formula=r"1 - \frac{1}{Z} \sum_i \frac{2^{y_i} - 1}{\log_2(1 + \hat r_i)},\quad "
    r"\hat r_i = 1 + \sum_{j \ne i} \sigma((s_j - s_i) / T)",
    source="Qin et al. 2010, A General Approximation Framework for Direct Optimization of "
    "Information Retrieval Measures, eq. 15 and 19",
    units="unitless",
    weights=weight_of_list,
    matrices=DOCUMENT_PAIRS,
    card=Card(
        characteristics="Goes to 1 - NDCG as the temperature falls; not convex.",
        use="Fine-tuning a ranker for NDCG after ranknet or ranking_softmax brought it near.",
        stability="Bounded; at a low temperature almost all pairs are flat and learn nothing.",
        data="Graded relevance from 0 to a few; lists where nothing is relevant do not count.",
    ),
    example=Example({"scores": [[1.0, 0.2, -0.5]], "relevance": [[0.0, 2.0, 1.0]]}),
)
def approx_ndcg(
    scores: DocumentScores,
    relevance: GradedRelevance,
    mask: DocumentMask | None = None,
    *,
    params: ApproxNdcgParams,
) -> Float[Tensor, "rows"]:
    """One minus the normalised discounted cumulative gain of smooth ranks.

    Returns one value per list, in [0, 1); 0 where nothing is relevant, which does not count.
    """
    there = present(relevance, mask)
    gain = share_of_best(gains(relevance, there), None)
    rank = soft_ranks(scores, there, params.temperature)
    value = 1.0 - (gain / discounts(rank)).sum(1)
    return value.masked_fill(~(gain > 0).any(1), 0.0)
