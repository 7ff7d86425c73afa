"""NACL: cross-entropy, and logits held to the class shares of a pixel's neighbourhood."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label, log_softmax, one_hot
from lossd.losses._spec import Card, Example, LossParams


class NaclParams(LossParams):
    """Parameters of `nacl`."""

    radius: int = Field(
        1, ge=0, le=16, description="Reach of the neighbourhood, in pixels: 1 is 3 x 3."
    )
    coefficient: float = Field(0.1, ge=0, description="Weight of the penalty.")
    p: Literal[1, 2] = Field(1, description="Power of each difference.")


@loss(
    formula=r"-\log p_y + \frac{\lambda}{C} \sum_k |u_k - z_k|^p,\quad u_k = \text{share of class }"
    r" k \text{ among the neighbours}",
    source="Murugesan et al. 2023, arXiv:2303.06268, section 2",
    units="nats",
    card=Card(
        characteristics="Convex. Logits are drawn into [0, 1], most gently where neighbours "
        "disagree: borders stay unsure.",
        use="Segmentation whose probabilities must be calibrated, at borders above all.",
        stability="Log-softmax and differences: stable for any finite logits.",
        data="Label maps of any number of axes, without ignored pixels. Beyond the edge there is "
        "no class, so shares sum to less than 1 there.",
    ),
    example=Example(
        {
            "logits": [[[[2.0, 0.5], [0.1, -1.0]], [[0.3, 1.2], [0.7, 0.2]]]],
            "labels": [[[0, 1], [1, 1]]],
        }
    ),
)
def nacl(
    logits: FiniteLogits, labels: Labels, *, params: NaclParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy plus the mean over classes of how far the logits are from the shares.

    The shares count a square (cube, ...) of pixels around each, itself too, zeros beyond the edge.
    Where a logit equals its share the subgradient is 0.

    Returns one value per item, in nats, >= 0.
    """
    off = logits - _shares(one_hot(labels, logits.detach()), params.radius)
    penalty = (off.abs() if params.p == 1 else off.square()).mean(1)
    cross_entropy = -at_label(log_softmax(logits), labels)
    return cross_entropy + params.coefficient * penalty


def _shares(x: Tensor, radius: int) -> Tensor:
    """The mean over each pixel's neighbourhood, along every axis after the classes."""
    for dim in range(2, x.ndim):
        edge = list(x.shape)
        edge[dim] = radius
        zeros = x.new_zeros(edge)
        x = torch.cat((zeros, x, zeros), dim).unfold(dim, 2 * radius + 1, 1).mean(-1)
    return x
