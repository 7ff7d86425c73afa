"""MART: adversarial training that cares more for what is misclassified when clean."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label, kl_divergence_of
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.adversarial._inputs import log_others


class MartParams(LossParams):
    """Parameters of `mart`."""

    beta: float = Field(6.0, ge=0, description="Weight of the divergence; lambda in the paper.")


@loss(
    formula=r"-\log p'_y - \log\left(1 - \max_{k \ne y} p'_k\right)"
    r" + \beta\, \mathrm{KL}(p \,\|\, p')\,(1 - p_y)",
    source="Wang et al. 2020 (MART), ICLR, eq. 11",
    units="nats",
    card=Card(
        characteristics="`adversarial` with a boosted cross-entropy on perturbed examples, and a "
        "divergence that counts where the clean example is in doubt.",
        use="Adversarial training; the perturbed logits come from an attack on this very model.",
        stability="In logarithms, without the authors' 1e-12 and 1.0001. The gradient flows "
        "through every part, 1 - p_y too.",
        data="Clean labels.",
    ),
    example=Example(
        {
            "clean_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "adversarial_logits": [[1.0, 0.9, -0.5], [0.4, 0.8, 0.3]],
            "labels": [0, 1],
        }
    ),
)
def mart(
    clean_logits: FiniteLogits,
    adversarial_logits: FiniteLogits,
    labels: Labels,
    *,
    params: MartParams,
) -> Float[Tensor, "rows *spatial"]:
    """Boosted cross-entropy on perturbed logits, plus beta times a weighted divergence.

    Returns one value per item, in nats, >= 0 up to rounding.
    """
    log_clean = torch.log_softmax(clean_logits, dim=1)
    log_adversarial = torch.log_softmax(adversarial_logits, dim=1)
    boosted = -at_label(log_adversarial, labels) - log_others(adversarial_logits, labels)
    doubt = -torch.expm1(at_label(log_clean, labels))
    return boosted + params.beta * kl_divergence_of(log_clean, log_adversarial) * doubt
