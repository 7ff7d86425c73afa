"""Smooth AP: one minus average precision, with ranks made smooth."""

from typing import Annotated

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.ranking._lists import (
    DOCUMENT_PAIRS,
    DocumentMask,
    DocumentScores,
    present,
    soft_ranks,
)


class SmoothApParams(LossParams):
    """Parameters of `smooth_ap`."""

    temperature: float = Field(
        0.01, gt=0, description="In units of the score: the lower, the nearer to true ranks."
    )


def weight_of_list(
    params: SmoothApParams,
    relevance: Int[Tensor, "rows documents"],
    mask: Int[Tensor, "rows documents"] | None = None,
) -> Tensor:
    """1 per list that has a relevant document."""
    return ((relevance == 1) & present(relevance, mask)).any(1).double()


@loss(
    formula=r"1 - \frac{1}{|P|} \sum_{i \in P} "
    r"\frac{1 + \sum_{j \in P \setminus i} \sigma((s_j - s_i) / T)}"
    r"{1 + \sum_{j \ne i} \sigma((s_j - s_i) / T)}",
    source="Brown et al. 2020, arXiv:2007.12163, eq. 5",
    units="unitless",
    weights=weight_of_list,
    matrices=DOCUMENT_PAIRS,
    card=Card(
        characteristics="Goes to 1 - AP as the temperature falls; not convex.",
        use="Retrieval by cosine similarity with several right answers to each query.",
        stability="Bounded; the default temperature is made for scores in [-1, 1].",
        data="Binary relevance; lists without a relevant document do not count.",
    ),
    example=Example({"scores": [[0.5, 0.52, 0.3]], "relevance": [[1, 0, 1]]}),
)
def smooth_ap(
    scores: DocumentScores,
    relevance: Annotated[
        Int[Tensor, "rows documents"], Arg(doc="1: relevant; 0: not.", values=(0, 1))
    ],
    mask: DocumentMask | None = None,
    *,
    params: SmoothApParams,
) -> Float[Tensor, "rows"]:
    """One minus the average precision of smooth ranks.

    Returns one value per list, in [0, 1); 0 where nothing is relevant, which does not count.
    """
    there = present(relevance, mask)
    relevant = (relevance == 1) & there
    rank = soft_ranks(scores, there, params.temperature)
    among_relevant = soft_ranks(scores, relevant, params.temperature)
    precision = (among_relevant / rank).masked_fill(~relevant, 0.0).sum(1)
    count = relevant.sum(1)
    value = 1.0 - precision / count.clamp(min=1)
    return value.masked_fill(count == 0, 0.0)
