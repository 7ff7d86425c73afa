"""Ranked list loss: positives into a hypersphere, negatives out of a larger one."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._pairs import (
    NORMALIZE,
    Embeddings,
    GroupLabels,
    distances,
    other_label,
    same_label,
    unit,
)
from lossd.losses._spec import Card, Example, LossParams


class RankedListParams(LossParams):
    """Parameters of `ranked_list`."""

    margin: float = Field(0.4, ge=0, description="Between the two spheres.")
    alpha: float = Field(1.2, ge=0, description="Radius that negatives are to be beyond.")
    positive_temperature: float = Field(
        0.0, ge=0, le=100, description="T_p: how much more positives count that are farther out."
    )
    negative_temperature: float = Field(
        10.0, ge=0, le=100, description="T_n: how much more negatives count that are farther in."
    )
    balance: float = Field(
        0.5, ge=0, le=1, description="Share of the negatives; the positives have the rest."
    )
    normalize: bool = Field(True, description=NORMALIZE)


@loss(
    formula=r"(1 - \lambda) \frac{\sum_p w_p (D_{ap} - \alpha + m)}{\sum_p w_p} + "
    r"\lambda \frac{\sum_n w_n (\alpha - D_{an})}{\sum_n w_n}, \quad w_p = e^{T_p (D_{ap} - "
    r"\alpha + m)}, \; w_n = e^{T_n (\alpha - D_{an})}",
    source="Wang et al. 2019, arXiv:1903.03238, eqs. 7 to 11",
    units="distance",
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Keeps the structure within a class: positives inside their sphere are "
        "left alone. Only pairs that violate their bound count.",
        use="Retrieval with several rows per label and batch.",
        stability="Weighted means without an epsilon. Which pairs violate counts as constant: the "
        "value jumps where one joins. The gradient goes through the weights too.",
        data="Labelled batches. Every row counts in the mean; one without violations costs 0.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def ranked_list(
    embeddings: Embeddings, labels: GroupLabels, *, params: RankedListParams
) -> Float[Tensor, "rows"]:
    """Weighted means of how far out a row's positives are, and how far in its negatives.

    pytorch-metric-learning adds 0.00001 per row to the sum of weights.

    Returns one value per row, >= 0.
    """
    x = unit(embeddings, params.normalize)
    apart = distances(x, x)
    out = apart - (params.alpha - params.margin)
    pulled = _weighted(out, same_label(labels), params.positive_temperature)
    pushed = _weighted(params.alpha - apart, other_label(labels), params.negative_temperature)
    return (1.0 - params.balance) * pulled + params.balance * pushed


def _weighted(violation: Tensor, among: Tensor, temperature: float) -> Tensor:
    """Mean of what is above 0, weighted by e^(temperature * it)."""
    among = among & (violation > 0)
    nothing = ~among.any(1, keepdim=True)
    logits = (temperature * violation).masked_fill(~among & ~nothing, -torch.inf)
    weight = torch.softmax(logits.masked_fill(nothing, 0.0), dim=1)
    return (weight * violation.masked_fill(~among, 0.0)).sum(1)
