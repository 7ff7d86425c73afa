"""Pairwise AUC surrogate: every positive must score above every negative of the call."""

from typing import Annotated, Literal

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part, softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class PairwiseAucParams(LossParams):
    """Parameters of `pairwise_auc`."""

    surrogate: Literal["logistic", "hinge", "squared_hinge"] = Field(
        "logistic", description="What a pair pays by its difference of scores."
    )
    margin: float = Field(1.0, ge=0, description="Lead wanted, of the hinges, in score units.")


@loss(
    formula=r"\frac{1}{|P| |N|} \sum_{i \in P} \sum_{j \in N} \phi(s_i - s_j),\quad \phi(d) = "
    r"\log(1 + e^{-d}),\ \max(0, m - d) \text{ or } \max(0, m - d)^2",
    source="Yan et al. 2003, ICML, 848-855; surrogates: Gao and Zhou 2015, arXiv:1208.0645",
    units="nats, or score units or their square",
    coupling="whole",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Convex bound of 1 - AUC, the share of pairs in wrong order; logistic and "
        "squared hinge are consistent with AUC, hinge is not.",
        use="Scores that only have to rank, on data of any imbalance.",
        stability="Stable for any finite scores; squares overflow float32 above 1e19.",
        data="Calls with both kinds of rows, or the value is 0; the cost is the square of the "
        "rows.",
    ),
    example=Example({"scores": [0.9, 0.2, 0.4, -0.3], "is_positive": [1, 0, 1, 0]}),
)
def pairwise_auc(
    scores: Annotated[Float[Tensor, "rows"], Arg(doc="Raw scores.", gradient=True)],
    is_positive: Annotated[
        Int[Tensor, "rows"], Arg(doc="1: a positive; 0: a negative.", values=(0, 1))
    ],
    *,
    params: PairwiseAucParams,
) -> Float[Tensor, ""]:
    """Mean over all pairs of a positive and a negative of what their difference costs.

    The subgradient at a hinge's kink is 0.

    Returns one value for the whole call, >= 0; 0 where there is no pair.
    """
    positive = is_positive == 1
    lead = scores[positive].unsqueeze(1) - scores[~positive]
    if params.surrogate == "logistic":
        cost = softplus(-lead)
    else:
        short = positive_part(params.margin - lead)
        cost = short if params.surrogate == "hinge" else short.square()
    return cost.sum() / max(cost.numel(), 1)
