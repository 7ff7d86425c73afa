"""Adversarial training: classify clean examples, and answer the same on perturbed ones."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Labels, Logits
from lossd.losses._ops import at_label, kl_divergence_of, log_softmax
from lossd.losses._spec import Card, Example, LossParams


class AdversarialParams(LossParams):
    """Parameters of `adversarial`."""

    beta: float = Field(6.0, ge=0, description="Weight of the divergence; 1 / lambda in the paper.")
    direction: Literal["clean_adversarial", "adversarial_clean"] = Field(
        "clean_adversarial", description="KL(clean || adversarial), as in TRADES, or reversed."
    )
    detach: Literal["none", "clean", "adversarial"] = Field(
        "none", description="The branch that gets no gradient from the divergence."
    )


@loss(
    formula=r"-\log p_y + \beta\, \mathrm{KL}(p \,\|\, p')",
    source="Zhang et al. 2019 (TRADES), arXiv:1901.08573, eq. 5",
    units="nats",
    card=Card(
        characteristics="Trades accuracy on clean examples against constancy near them, by beta.",
        use="Adversarial training; the perturbed logits come from an attack on this very model.",
        stability="Stable for any finite logits. `detach` changes the gradient, never the value.",
        data="Clean labels. Larger beta for stronger attacks.",
    ),
    example=Example(
        {
            "clean_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "adversarial_logits": [[1.0, 0.9, -0.5], [0.4, 0.8, 0.3]],
            "labels": [0, 1],
        }
    ),
)
def adversarial(
    clean_logits: Logits,
    adversarial_logits: Logits,
    labels: Labels,
    *,
    params: AdversarialParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy on clean logits plus beta times their divergence from the adversarial ones.

    Returns one value per item, in nats, >= 0 up to rounding.
    """
    log_clean = log_softmax(clean_logits)
    log_adversarial = log_softmax(adversarial_logits)
    classification = -at_label(log_clean, labels)
    if params.detach == "clean":
        log_clean = log_clean.detach()
    elif params.detach == "adversarial":
        log_adversarial = log_adversarial.detach()
    if params.direction == "clean_adversarial":
        divergence = kl_divergence_of(log_clean, log_adversarial)
    else:
        divergence = kl_divergence_of(log_adversarial, log_clean)
    return classification + params.beta * divergence if params.beta else classification
