"""Weighted approximate-rank pairwise loss: hinges weighed by how far down the right item is."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._spec import Arg, Card, Example, LossParams


class WarpParams(LossParams):
    """Parameters of `warp`."""

    margin: float = Field(1.0, ge=0, description="In units of the score.")
    rank_weight: Literal["harmonic", "linear"] = Field(
        "harmonic", description="L of the rank k: 1 + 1/2 + ... + 1/k (precision), or k (AUC)."
    )


@loss(
    formula=r"\frac{L(k)}{k} \sum_j \max(0, m - s^+ + s^-_j),\quad "
    r"k = |\{j: s^-_j > s^+ - m\}|",
    source="Weston et al. 2011, WSABIE: Scaling Up To Large Vocabulary Image Annotation, eq. 2 to "
    "4; Usunier et al. 2009",
    units="score units",
    card=Card(
        characteristics="Optimises the top of the list; the exact sum, where WSABIE samples.",
        use="Recommendation and annotation with many candidates and few right ones.",
        stability="Piecewise linear. The rank is a constant of the gradient: the value jumps where "
        "a negative enters the margin.",
        data="One right item per row, negatives of all candidates or a sample of them.",
    ),
    example=Example({"positive_scores": [1.0, 0.2], "negative_scores": [[0.5, -1.0], [0.4, 0.1]]}),
)
def warp(
    positive_scores: Annotated[
        Float[Tensor, "rows"], Arg(doc="Score of the right item.", gradient=True)
    ],
    negative_scores: Annotated[
        Float[Tensor, "rows negatives"], Arg(doc="Scores of wrong items.", gradient=True)
    ],
    *,
    params: WarpParams,
) -> Float[Tensor, "rows"]:
    """Mean hinge of the wrong items within the margin, times the weight of their number.

    A wrong item exactly at the margin is not within it.

    Returns one value per row, in score units, >= 0; 0 where no wrong item is within the margin.
    """
    missing = positive_part(params.margin - positive_scores.unsqueeze(1) + negative_scores)
    if params.rank_weight == "linear":
        return missing.sum(1)
    places = torch.arange(negative_scores.shape[1] + 1, device=missing.device)
    terms = places.to(missing.dtype).clamp(min=1.0).reciprocal().masked_fill(places == 0, 0.0)
    rank = (missing > 0).sum(1)
    return terms.cumsum(0)[rank] / rank.clamp(min=1) * missing.sum(1)
