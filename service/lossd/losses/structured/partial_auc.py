"""Partial AUC: every positive against the negatives that score highest, softly."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part, softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class PartialAucParams(LossParams):
    """Parameters of `partial_auc`."""

    surrogate: Literal["squared_hinge", "hinge", "logistic"] = Field(
        "squared_hinge", description="What a pair pays by its difference of scores."
    )
    margin: float = Field(1.0, ge=0, description="Lead wanted, of the hinges, in score units.")
    temperature: float = Field(
        1.0,
        ge=1e-3,
        le=1e6,
        description="Of the worst negatives: near 0 the worst alone, large all alike.",
    )


@loss(
    formula=r"\frac{1}{|P|} \sum_{i \in P} \lambda \log \frac{1}{|N|} \sum_{j \in N} "
    r"e^{\phi(s_i - s_j) / \lambda}",
    source="Zhu et al. 2022, arXiv:2203.00176, one-way, KL-DRO (SOPA-s)",
    units="those of the surrogate: squared score units, score units or nats",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Softly the worst negative for each positive: a smooth surrogate of AUC "
        "at small false-positive rates. Convex in scores.",
        use="Screening, where only the top of the ranking is looked at.",
        stability="Log-sum-exp from the largest cost; squares overflow float32 above 1e19.",
        data="Calls with many negatives, or their worst are not those of the data.",
    ),
    example=Example({"scores": [0.9, 0.2, 0.4, -0.3], "is_positive": [1, 0, 1, 0]}),
)
def partial_auc(
    scores: Annotated[Float[Tensor, "rows"], Arg(doc="Raw scores.", gradient=True)],
    is_positive: Annotated[
        Int[Tensor, "rows"], Arg(doc="1: a positive; 0: a negative.", values=(0, 1))
    ],
    *,
    params: PartialAucParams,
) -> Float[Tensor, ""]:
    """Mean over positives of the soft maximum over negatives of what a pair costs.

    The subgradient at a hinge's kink is 0.

    Returns one value for the whole call, >= 0; 0 where there is no pair.
    """
    positive = is_positive == 1
    lead = scores[positive].unsqueeze(1) - scores[~positive]
    if not lead.numel():
        return scores.sum() * 0.0
    if params.surrogate == "logistic":
        cost = softplus(-lead)
    else:
        short = positive_part(params.margin - lead)
        cost = short if params.surrogate == "hinge" else short.square()
    top = cost.detach().amax(1, keepdim=True)
    mean = torch.exp((cost - top) / params.temperature).mean(1)
    return (top.squeeze(1) + params.temperature * mean.log()).mean()
