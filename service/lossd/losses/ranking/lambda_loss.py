"""LambdaLoss: pairs weighed by what swapping them does to NDCG."""

from typing import Literal

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
    GradedRelevance,
    differences,
    discounts,
    gains,
    ordered_pairs,
    pairs_or_lists,
    present,
    ranks,
    share_of_best,
)


class LambdaLossParams(LossParams):
    """Parameters of `lambda_loss`."""

    weighting: Literal["lambda_rank", "ndcg_loss1", "ndcg_loss2", "ndcg_loss2pp"] = Field(
        "ndcg_loss2pp", description="What a pair weighs."
    )
    sigma: float = Field(1.0, gt=0, description="Steepness: multiplies differences of scores.")
    mu: float = Field(10.0, ge=0, description="Weight of ndcg_loss2 within ndcg_loss2pp.")
    cutoff: int | None = Field(
        None, ge=1, description="NDCG at so many places: pairs of which none is there do not count."
    )
    denominator: Denominator = Field(
        "lists", description="What a mean divides by: lists, or pairs of different relevance."
    )


def weight_of_list(
    params: LambdaLossParams,
    relevance: Float[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list, or its pairs."""
    return pairs_or_lists(params.denominator, relevance, mask)


@loss(
    formula=r"\sum_{y_i > y_j} w_{ij} \log\left(1 + e^{-\sigma (s_i - s_j)}\right),\quad "
    r"w_{ij} = |G_i - G_j|\,\left|\tfrac{1}{D_i} - \tfrac{1}{D_j}\right| \text{ (lambda\_rank)}",
    source="Wang et al. 2018, The LambdaLoss Framework for Ranking Metric Optimization, eq. 10, "
    "17, 20 and 21; LambdaRank: Burges et al. 2006",
    units="nats",
    weights=weight_of_list,
    matrices=DOCUMENT_PAIRS,
    card=Card(
        characteristics="A bound on the loss of NDCG, tightened by the order of the moment.",
        use="Search and recommendation, where the top of the list is what is seen.",
        stability="Weights are constants of the present order: the value jumps where scores swap, "
        "and is no measure of progress between steps.",
        data="Graded relevance from 0 to a few; lists where nothing is relevant do not count.",
    ),
    example=Example({"scores": [[1.0, 0.2, -0.5]], "relevance": [[0.0, 2.0, 1.0]]}),
)
def lambda_loss(
    scores: DocumentScores,
    relevance: GradedRelevance,
    mask: DocumentMask | None = None,
    *,
    params: LambdaLossParams,
) -> Float[Tensor, "rows"]:
    """Logistic loss of pairs, each weighed by its effect on NDCG at the present order.

    The weights get no gradient. Of equal scores the first ranks first. ndcg_loss1 takes every
    document with every one, itself too, which adds a constant.

    Returns one value per list, in nats, >= 0; 0 where nothing is relevant.
    """
    there = present(relevance, mask)
    place = ranks(scores, there)
    if params.weighting == "ndcg_loss1":
        pairs = there.unsqueeze(2) & there.unsqueeze(1)
    else:
        pairs = ordered_pairs(relevance, mask)
    if params.cutoff is not None:
        top = place <= params.cutoff
        pairs = pairs & (top.unsqueeze(2) | top.unsqueeze(1))
    gain = share_of_best(gains(relevance, there), params.cutoff)
    weight = _weights(params, gain, place.to(scores.dtype))
    value = weight * softplus(-params.sigma * differences(scores))
    return value.masked_fill(~pairs, 0.0).sum((1, 2))


def _weights(params: LambdaLossParams, gain: Tensor, place: Tensor) -> Tensor:
    """(rows, i, j): what a pair weighs, from gains and places."""
    discount = discounts(place)
    if params.weighting == "ndcg_loss1":
        return (gain / discount).unsqueeze(2).expand(-1, -1, gain.shape[1])
    apart = (place.unsqueeze(2) - place.unsqueeze(1)).abs()
    nearer = discounts(apart.clamp(min=1.0)).reciprocal()
    of_distance = nearer - discounts(apart + 1.0).reciprocal()
    inverse = discount.reciprocal()
    of_places = (inverse.unsqueeze(2) - inverse.unsqueeze(1)).abs()
    shares = {
        "lambda_rank": lambda: of_places,
        "ndcg_loss2": lambda: of_distance,
        "ndcg_loss2pp": lambda: of_places + params.mu * of_distance,
    }
    difference: Tensor = (gain.unsqueeze(2) - gain.unsqueeze(1)).abs()
    return shares[params.weighting]() * difference
