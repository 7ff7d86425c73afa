"""RankNet: of two documents, the more relevant one should score higher."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.ranking._lists import (
    DOCUMENT_PAIRS,
    Denominator,
    DocumentMask,
    DocumentScores,
    Relevance,
    differences,
    ordered_pairs,
    pairs_or_lists,
)


class RanknetParams(LossParams):
    """Parameters of `ranknet`."""

    sigma: float = Field(1.0, gt=0, description="Steepness: multiplies differences of scores.")
    denominator: Denominator = Field(
        "lists", description="What a mean divides by: lists, or pairs of different relevance."
    )


def weight_of_list(
    params: RanknetParams,
    relevance: Float[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list, or its pairs."""
    return pairs_or_lists(params.denominator, relevance, mask)


@loss(
    formula=r"\sum_{y_i > y_j} \log\left(1 + e^{-\sigma (s_i - s_j)}\right)",
    source="Burges et al. 2005, Learning to Rank using Gradient Descent, eq. 3",
    units="nats",
    weights=weight_of_list,
    matrices=DOCUMENT_PAIRS,
    card=Card(
        characteristics="Logistic loss of every pair; convex in the scores; blind to position.",
        use="The first pairwise choice; lambda_loss where the top of the list matters most.",
        stability="Stable for any finite score. Long lists weigh more, unless pairs are counted.",
        data="Graded or binary relevance; equal relevance makes no pair.",
    ),
    example=Example({"scores": [[1.0, 0.2, -0.5]], "relevance": [[2.0, 0.0, 1.0]]}),
)
def ranknet(
    scores: DocumentScores,
    relevance: Relevance,
    mask: DocumentMask | None = None,
    *,
    params: RanknetParams,
) -> Float[Tensor, "rows"]:
    """Logistic loss of every pair of a list whose relevance differs, added up.

    Returns one value per list, in nats, >= 0; 0 without pairs.
    """
    pairs = ordered_pairs(relevance, mask)
    return softplus(-params.sigma * differences(scores)).masked_fill(~pairs, 0.0).sum((1, 2))
