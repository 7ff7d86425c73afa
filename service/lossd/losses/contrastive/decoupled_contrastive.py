"""Decoupled contrastive loss (DCL): NT-Xent without the positive in the denominator."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log_sum_exp
from lossd.losses._pairs import NORMALIZE, Embeddings, Partners, unit
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.contrastive._views import split_views


class DecoupledContrastiveParams(LossParams):
    """Parameters of `decoupled_contrastive`."""

    temperature: float = Field(
        0.1, ge=1e-6, le=1e6, description="What similarities are divided by."
    )
    normalize: bool = Field(True, description=NORMALIZE)


@loss(
    formula=r"-s_{ij} / \tau + \log \sum_{k \neq i, j} e^{s_{ik} / \tau}",
    source="Yeh et al. 2022, arXiv:2110.06848, eq. 6",
    units="nats",
    coupling="coupled",
    matrices=(("rows", "rows"), ("rows", "rows"), ("rows", "rows"), ("rows", "rows")),
    card=Card(
        characteristics="An easy positive no longer weakens the gradient of the negatives.",
        use="Self-supervised pretraining at small batches, in place of nt_xent.",
        stability="Log-sum-exp. Not bounded below by 0: it falls until negatives are opposite.",
        data="Two views per row. A row alone has no negatives and the value 0.",
    ),
    example=Example(
        {
            "left": [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]],
            "right": [[0.9, 0.1], [0.2, 0.5], [0.1, 0.8]],
        }
    ),
)
def decoupled_contrastive(
    left: Embeddings, right: Partners, *, params: DecoupledContrastiveParams
) -> Float[Tensor, "rows"]:
    """Mean of both views' log-sum-exp over the other rows' views, less the scaled similarity.

    Returns one value per row, in nats.
    """
    x, y = unit(left, params.normalize), unit(right, params.normalize)
    positive, negatives = split_views(x, y, params.temperature)
    if len(x) < 2:
        return positive * 0.0
    both = log_sum_exp(negatives, dim=1) - torch.cat((positive, positive))
    return 0.5 * (both[: len(x)] + both[len(x) :])
