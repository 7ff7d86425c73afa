"""Adversarial logit pairing: the same logits for an example and its perturbed twin."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label
from lossd.losses._spec import Card, Example, LossParams


class LogitPairingParams(LossParams):
    """Parameters of `logit_pairing`."""

    pairing: float = Field(
        0.5, ge=0, description="Weight of the squared distance of logits; lambda in the paper."
    )
    classify: Literal["both", "adversarial"] = Field(
        "both", description="Whose cross-entropy counts: the mean of both, or the perturbed one."
    )


@loss(
    formula=r"\tfrac12 \left(-\log p_y - \log p'_y\right) + \lambda \|z - z'\|_2^2",
    source="Kannan, Kurakin and Goodfellow 2018, arXiv:1803.06373, section 3.1",
    units="nats and squared logits",
    card=Card(
        characteristics="Pairs logits, where `adversarial` pairs probabilities: it does not "
        "saturate, and does mind a shift that leaves all probabilities alone.",
        use="Adversarial training on mixed batches. Known as ALP.",
        stability="Convex in the difference. The squared distance is a sum over classes.",
        data="Clean labels; a small weight where there are many classes.",
    ),
    example=Example(
        {
            "clean_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "adversarial_logits": [[1.0, 0.9, -0.5], [0.4, 0.8, 0.3]],
            "labels": [0, 1],
        }
    ),
)
def logit_pairing(
    clean_logits: FiniteLogits,
    adversarial_logits: FiniteLogits,
    labels: Labels,
    *,
    params: LogitPairingParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy, plus lambda times the squared distance of both logits.

    Returns one value per item, >= 0.
    """
    perturbed = -at_label(torch.log_softmax(adversarial_logits, dim=1), labels)
    distance = (clean_logits - adversarial_logits).square().sum(1)
    if params.classify == "adversarial":
        return perturbed + params.pairing * distance
    clean = -at_label(torch.log_softmax(clean_logits, dim=1), labels)
    return 0.5 * (clean + perturbed) + params.pairing * distance
