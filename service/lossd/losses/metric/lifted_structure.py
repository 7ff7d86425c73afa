"""Lifted structure loss: each positive pair against all negatives of both its ends."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import positive_part
from lossd.losses._pairs import (
    NORMALIZE,
    Embeddings,
    GroupLabels,
    distances,
    log_sum_exp,
    other_label,
    positives_with_negatives,
    same_label,
    unit,
)
from lossd.losses._spec import Card, Example, LossParams


class LiftedStructureParams(LossParams):
    """Parameters of `lifted_structure`."""

    margin: float = Field(1.0, ge=0, description="alpha: distance wanted of negatives.")
    normalize: bool = Field(False, description=NORMALIZE)


def _weights(labels: Tensor, *, params: LiftedStructureParams) -> Tensor:
    return positives_with_negatives(labels)


@loss(
    formula=r"\tfrac{1}{2} \sum_{j: y_j = y_i} \max\left(0, D_{ij} + \log\left(\sum_{k: y_k \neq "
    r"y_i} e^{\alpha - D_{ik}} + \sum_{l: y_l \neq y_j} e^{\alpha - D_{jl}}\right)\right)^2",
    source="Song et al. 2016, arXiv:1511.06452, eq. 4",
    units="squared distance",
    weights=_weights,
    coupling="coupled",
    matrices=(("rows", "rows"),),
    card=Card(
        characteristics="Every positive pair sees all of its ends' negatives, the near ones most.",
        use="Retrieval; generalized_lifted_structure is smoother and often better.",
        stability="Log-sum-exp; the square makes far positive pairs pull hard. At distance 0 the "
        "gradient is 0.",
        data="Labelled batches. Rows without a positive or a negative do not count.",
    ),
    example=Example(
        {
            "embeddings": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.8]],
            "labels": [0, 0, 1, 1],
        }
    ),
)
def lifted_structure(
    embeddings: Embeddings, labels: GroupLabels, *, params: LiftedStructureParams
) -> Float[Tensor, "rows"]:
    """Half the squared loss of each of a row's positive pairs, added up.

    Its share of the denominator is their number. Each pair is met from both ends, so the mean is
    the paper's, over twice the number of positive pairs.

    Returns one value per row, >= 0; 0 for a row without a positive or a negative.
    """
    x = unit(embeddings, params.normalize)
    apart = distances(x, x)
    near = log_sum_exp(params.margin - apart, other_label(labels))
    both = torch.logaddexp(near[:, None], near)
    pairs = same_label(labels) & other_label(labels).any(1, keepdim=True)
    each = 0.5 * positive_part((apart + both).masked_fill(~pairs, 0.0)).square()
    return each.sum(1)
