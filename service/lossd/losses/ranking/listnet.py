"""ListNet: the scores' probabilities of coming first should be those of the relevance."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.ranking import _lists
from lossd.losses.ranking._lists import (
    DocumentMask,
    DocumentScores,
    Relevance,
    log_softmax_of_present,
    present,
)


class ListnetParams(LossParams):
    """Parameters of `listnet`."""

    relevance_temperature: float = Field(
        1.0, gt=0, description="Divides the relevance before its softmax."
    )


def weight_of_list(
    params: ListnetParams,
    relevance: Float[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list that has a document."""
    return _lists.weight_of_list(relevance, mask)


@loss(
    formula=r"-\sum_i \operatorname{softmax}(y / T)_i \log \operatorname{softmax}(s)_i",
    source="Cao et al. 2007, Learning to Rank: From Pairwise Approach to Listwise Approach, eq. 5, "
    "top one",
    units="nats",
    weights=weight_of_list,
    card=Card(
        characteristics="Cross-entropy of two distributions over the list; convex in the scores.",
        use="Graded relevance, short lists; ranking_softmax where the relevance is a probability.",
        stability="Stable for any finite score. Its least value is the entropy of the relevance.",
        data="Graded relevance: binary grades give every irrelevant document a share too.",
    ),
    example=Example({"scores": [[1.0, 0.2, -0.5]], "relevance": [[2.0, 0.0, 1.0]]}),
)
def listnet(
    scores: DocumentScores,
    relevance: Relevance,
    mask: DocumentMask | None = None,
    *,
    params: ListnetParams,
) -> Float[Tensor, "rows"]:
    """Cross-entropy of the top-one probabilities of the relevance and of the scores.

    Returns one value per list, in nats, >= 0; 0 without documents.
    """
    there = present(relevance, mask)
    target = log_softmax_of_present(relevance / params.relevance_temperature, there).exp()
    log_p = log_softmax_of_present(scores, there)
    return -(target * log_p).masked_fill(~there, 0.0).sum(1)
