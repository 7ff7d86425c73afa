"""Helper-based adversarial training: beyond the perturbation, an answer may change."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label, kl_divergence_of
from lossd.losses._spec import Arg, Card, Example, LossParams


class HelperAdversarialParams(LossParams):
    """Parameters of `helper_adversarial`."""

    beta: float = Field(2.5, ge=0, description="Weight of the divergence.")
    gamma: float = Field(0.5, ge=0, description="Weight of the helper's cross-entropy.")


@loss(
    formula=r"-\log p_y + \beta\, \mathrm{KL}(p \,\|\, p') - \gamma \log p''_{y''}",
    source="Rade and Moosavi-Dezfooli 2022 (HAT), ICLR, eq. 4",
    units="nats",
    card=Card(
        characteristics="`adversarial`, and a third term that keeps margins from growing too "
        "wide, for accuracy on clean examples.",
        use="Adversarial training that may not cost much accuracy.",
        stability="Stable for any finite logits.",
        data="Helpers: inputs moved twice as far as the attack did, labelled by the answer of a "
        "model trained without attacks.",
    ),
    example=Example(
        {
            "clean_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "adversarial_logits": [[1.0, 0.9, -0.5], [0.4, 0.8, 0.3]],
            "helper_logits": [[0.2, 1.1, -0.5], [0.4, 0.3, 0.9]],
            "labels": [0, 1],
            "helper_labels": [1, 2],
        }
    ),
)
def helper_adversarial(
    clean_logits: FiniteLogits,
    adversarial_logits: FiniteLogits,
    helper_logits: FiniteLogits,
    labels: Labels,
    helper_labels: Annotated[
        Int[Tensor, "rows *spatial"],
        Arg(doc="Class of each helper, by a model trained without attacks.", index_of="classes"),
    ],
    *,
    params: HelperAdversarialParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy, beta times a divergence, and gamma times the helper's cross-entropy.

    Returns one value per item, in nats, >= 0 up to rounding.
    """
    log_clean = torch.log_softmax(clean_logits, dim=1)
    divergence = kl_divergence_of(log_clean, torch.log_softmax(adversarial_logits, dim=1))
    helper = -at_label(torch.log_softmax(helper_logits, dim=1), helper_labels)
    return -at_label(log_clean, labels) + params.beta * divergence + params.gamma * helper
