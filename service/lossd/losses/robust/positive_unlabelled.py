"""Positive-unlabelled learning: a classifier from some positives and a mixture of both."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part, softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class PositiveUnlabelledParams(LossParams):
    """Parameters of `positive_unlabelled`."""

    prior: float = Field(
        0.5, gt=0, lt=1, description="Share of positives among what is unlabelled."
    )
    surrogate: Literal["sigmoid", "logistic"] = Field(
        "sigmoid", description="Loss of a score on one side: sigma(-m), or log(1 + e^(-m))."
    )
    non_negative: bool = Field(
        True, description="Whether the estimated risk of negatives is kept from falling below 0."
    )
    beta: float = Field(
        0.0, ge=0, le=1e3, description="How far below 0 that risk may fall before it is cut."
    )


@loss(
    formula=r"\pi R_P^+ + \max(-\beta, R_U^- - \pi R_P^-),\quad R_S^{\pm} = \frac{1}{|S|} "
    r"\sum_{i \in S} \ell(\pm s_i)",
    source="unbiased: du Plessis et al. 2015, Convex formulation for learning from positive and "
    "unlabeled data; non-negative: Kiryo et al. 2017, arXiv:1703.00593, nnPU",
    units="unitless, or nats for logistic",
    coupling="whole",
    card=Card(
        characteristics="An unbiased estimate of the risk without negatives; the non-negative one "
        "is biased a little and cannot be driven below -beta by overfitting.",
        use="Positives and unlabelled items only: clicks, known compounds, matched records.",
        stability="The unbiased risk of a flexible model runs off below 0; where the non-negative "
        "one is cut the gradient of its negative part is 0.",
        data="The share of positives among the unlabelled must be known well. One value per batch; "
        "a side without items has risk 0.",
    ),
    example=Example(
        {"scores": [1.5, -0.2, 0.7, -1.4, 0.3], "labels": [1, 1, 0, 0, 0]}, {"prior": 0.4}
    ),
)
def positive_unlabelled(
    scores: Annotated[
        Float[Tensor, "rows"], Arg(doc="Raw scores, above 0 for positive.", gradient=True)
    ],
    labels: Annotated[
        Int[Tensor, "rows"], Arg(doc="1: a positive; 0: not labelled.", values=(0, 1))
    ],
    *,
    params: PositiveUnlabelledParams,
) -> Float[Tensor, ""]:
    """The estimated risk of a classifier, of a batch of positive and unlabelled items.

    Returns one value. The authors' code climbs, against the gradient, where the negative risk is
    cut; here its gradient is 0 there, and at the kink.
    """
    positive = labels == 1
    of_positives = params.prior * _mean(_loss(scores, params), positive)
    negatives = _mean(_loss(-scores, params), ~positive)
    of_negatives = negatives - params.prior * _mean(_loss(-scores, params), positive)
    if params.non_negative:
        of_negatives = positive_part(of_negatives + params.beta) - params.beta
    return of_positives + of_negatives


def _loss(margin: Tensor, params: PositiveUnlabelledParams) -> Tensor:
    return torch.sigmoid(-margin) if params.surrogate == "sigmoid" else softplus(-margin)


def _mean(x: Tensor, chosen: Tensor) -> Tensor:
    return x.masked_fill(~chosen, 0.0).sum() / chosen.sum().clamp_min(1)
