"""ListMLE: the likelihood of the right order, drawing documents one after another."""

from jaxtyping import Float, Int
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


class ListMleParams(LossParams):
    """`list_mle` has no parameters."""


def weight_of_list(
    params: ListMleParams,
    relevance: Float[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list that has a document."""
    return _lists.weight_of_list(relevance, mask)


@loss(
    formula=r"-\sum_i \log \frac{e^{s_{\pi(i)}}}{\sum_{j \ge i} e^{s_{\pi(j)}}},"
    r"\quad \pi \text{ by falling relevance}",
    source="Xia et al. 2008, Listwise Approach to Learning to Rank: Theory and Algorithm, eq. 7",
    units="nats",
    weights=weight_of_list,
    matrices=DOCUMENT_PAIRS,
    card=Card(
        characteristics="Plackett-Luce likelihood of the whole order; convex in the scores.",
        use="Full orders without ties; every place counts the same: p_list_mle stresses the top.",
        stability="Stable for any finite score; grows with the length of the list.",
        data="Orders. Equal relevance is taken in the order of the input: shuffle first.",
    ),
    example=Example({"scores": [[1.0, 0.2, -0.5]], "relevance": [[2.0, 0.0, 1.0]]}),
)
def list_mle(
    scores: DocumentScores,
    relevance: Relevance,
    mask: DocumentMask | None = None,
    *,
    params: ListMleParams,
) -> Float[Tensor, "rows"]:
    """Negative log-likelihood of the order of falling relevance under the Plackett-Luce model.

    Returns one value per list, in nats, >= 0; 0 without documents.
    """
    return -log_likelihoods_by_place(scores, relevance, present(relevance, mask)).sum(1)
