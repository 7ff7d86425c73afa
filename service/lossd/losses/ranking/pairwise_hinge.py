"""Pairwise hinge: the more relevant document should score higher by a margin."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
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


class PairwiseHingeParams(LossParams):
    """Parameters of `pairwise_hinge`."""

    margin: float = Field(1.0, ge=0, description="In units of the score.")
    denominator: Denominator = Field(
        "lists", description="What a mean divides by: lists, or pairs of different relevance."
    )


def weight_of_list(
    params: PairwiseHingeParams,
    relevance: Float[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list, or its pairs."""
    return pairs_or_lists(params.denominator, relevance, mask)


@loss(
    formula=r"\sum_{y_i > y_j} \max(0, m - (s_i - s_j))",
    source="Herbrich et al. 2000, Large Margin Rank Boundaries for Ordinal Regression; Joachims "
    "2002, Optimizing Search Engines using Clickthrough Data, problem 1",
    units="score units",
    weights=weight_of_list,
    matrices=DOCUMENT_PAIRS,
    card=Card(
        characteristics="RankSVM: pairs that are ahead by the margin no longer count.",
        use="Where well ordered pairs should be left alone.",
        stability="Piecewise linear and convex; the scale of the scores is set by the margin.",
        data="Graded or binary relevance; equal relevance makes no pair.",
    ),
    example=Example({"scores": [[1.0, 0.2, -0.5]], "relevance": [[2.0, 0.0, 1.0]]}),
)
def pairwise_hinge(
    scores: DocumentScores,
    relevance: Relevance,
    mask: DocumentMask | None = None,
    *,
    params: PairwiseHingeParams,
) -> Float[Tensor, "rows"]:
    """Hinge loss of every pair of a list whose relevance differs, added up.

    The subgradient at the margin is 0.

    Returns one value per list, in score units, >= 0; 0 without pairs.
    """
    pairs = ordered_pairs(relevance, mask)
    missing = positive_part(params.margin - differences(scores))
    return missing.masked_fill(~pairs, 0.0).sum((1, 2))
