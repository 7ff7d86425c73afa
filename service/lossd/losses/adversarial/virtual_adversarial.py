"""Virtual adversarial training: answers must not change near an example, labelled or not."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Logits
from lossd.losses._ops import kl_divergence_of
from lossd.losses._spec import Arg, Card, Example, LossParams


class VirtualAdversarialParams(LossParams):
    """Parameters of `virtual_adversarial`: none."""


@loss(
    formula=r"\mathrm{KL}(p \,\|\, p'),\quad p \text{ constant}",
    source="Miyato et al. 2018, arXiv:1704.03976, eq. 5",
    units="nats",
    card=Card(
        characteristics="0 where both answers agree. The clean answer is the target and learns "
        "nothing, so that it cannot move towards the perturbed one.",
        use="Semi-supervised learning, beside cross-entropy on what is labelled. Known as VAT.",
        stability="In logarithms. +inf, without gradient, where the perturbed answer excludes "
        "what the clean one does not.",
        data="Inputs without labels; the perturbation is found by a power iteration on this loss.",
    ),
    example=Example(
        {
            "clean_logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "adversarial_logits": [[1.0, 0.9, -0.5], [0.4, 0.8, 0.3]],
        }
    ),
)
def virtual_adversarial(
    clean_logits: Annotated[
        Float[Tensor, "rows classes *spatial"],
        Arg(doc="Raw scores of the clean input, which get no gradient.", minus_infinity=True),
    ],
    adversarial_logits: Logits,
    *,
    params: VirtualAdversarialParams,
) -> Float[Tensor, "rows *spatial"]:
    """Divergence of the perturbed answer from the clean one, which counts as constant.

    Returns one value per item, in nats, >= 0 up to rounding.
    """
    log_clean = torch.log_softmax(clean_logits, dim=1)
    return kl_divergence_of(log_clean, torch.log_softmax(adversarial_logits, dim=1))
