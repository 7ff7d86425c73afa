"""Guided adversarial training: cross-entropy, and the squared distance of both answers."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label
from lossd.losses._spec import Card, Example, LossParams


class GuidedAdversarialParams(LossParams):
    """Parameters of `guided_adversarial`."""

    weight: float = Field(10.0, ge=0, description="Of the squared distance; lambda in the paper.")


@loss(
    formula=r"-\log p_y + \lambda \|p - p'\|_2^2",
    source="Sriramanan et al. 2020 (GAT), arXiv:2011.14969, eq. 4",
    units="nats",
    card=Card(
        characteristics="`adversarial` with a bounded distance of probabilities in place of a "
        "divergence.",
        use="Single-step adversarial training; the same sum guides the attack, as a relaxation "
        "of the margin.",
        stability="Bounded but for the cross-entropy; both answers get a gradient.",
        data="Clean labels; the perturbed logits come from an attack on this very model.",
    ),
    example=Example(
        {
            "clean_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "adversarial_logits": [[1.0, 0.9, -0.5], [0.4, 0.8, 0.3]],
            "labels": [0, 1],
        }
    ),
)
def guided_adversarial(
    clean_logits: FiniteLogits,
    adversarial_logits: FiniteLogits,
    labels: Labels,
    *,
    params: GuidedAdversarialParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy on clean logits, plus lambda times the squared distance of probabilities.

    Returns one value per item, >= 0.
    """
    clean = -at_label(torch.log_softmax(clean_logits, dim=1), labels)
    apart = torch.softmax(clean_logits, dim=1) - torch.softmax(adversarial_logits, dim=1)
    return clean + params.weight * apart.square().sum(1)
