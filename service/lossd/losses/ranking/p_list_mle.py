"""Position-aware ListMLE: the likelihood of the right order, its top counting most."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.ranking import _lists
from lossd.losses.ranking._lists import (
    DOCUMENT_PAIRS,
    DocumentMask,
    DocumentScores,
    Relevance,
    log_likelihoods_by_place,
    present,
)


class PListMleParams(LossParams):
    """Parameters of `p_list_mle`."""

    normalize_weights: bool = Field(
        True, description="Whether the weights of a list's places sum to 1; else they start at 1."
    )


def weight_of_list(
    params: PListMleParams,
    relevance: Float[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list that has a document."""
    return _lists.weight_of_list(relevance, mask)


@loss(
    formula=r"-\sum_i \alpha_i \log \frac{e^{s_{\pi(i)}}}{\sum_{j \ge i} e^{s_{\pi(j)}}},"
    r"\quad \alpha_i \propto 2^{n - i} - 1",
    source="Lan et al. 2014, Position-Aware ListMLE: A Sequential Learning Process for Ranking, "
    "eq. 7",
    units="nats",
    weights=weight_of_list,
    matrices=DOCUMENT_PAIRS,
    card=Card(
        characteristics="Weights halve from place to place: the loss is about the first few.",
        use="Full orders of which the top matters; list_mle where all places do.",
        stability="Stable for any finite score and length: weights are powers of 1/2.",
        data="Orders. Equal relevance is taken in the order of the input: shuffle first.",
    ),
    example=Example({"scores": [[1.0, 0.2, -0.5]], "relevance": [[2.0, 0.0, 1.0]]}),
)
def p_list_mle(
    scores: DocumentScores,
    relevance: Relevance,
    mask: DocumentMask | None = None,
    *,
    params: PListMleParams,
) -> Float[Tensor, "rows"]:
    """Negative log-likelihoods of the places of the best order, weighed by place.

    The weights of the paper, 2^(n - i) - 1, count up to a factor only, which overflows with the
    length of the list: here the first is 1, or all sum to 1. A list of one document has no weight.

    Returns one value per list, in nats, >= 0.
    """
    there = present(relevance, mask)
    count = there.sum(1, keepdim=True).to(scores.dtype)
    place = torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)
    weight = (torch.exp2(1.0 - place) - torch.exp2(1.0 - count)).clamp(min=0.0)
    scale = weight.sum(1, keepdim=True) if params.normalize_weights else weight[:, :1]
    weight = weight / scale.masked_fill(scale == 0, 1.0)
    return -(weight * log_likelihoods_by_place(scores, relevance, there)).sum(1)
