"""Boosted cross-entropy: the label must win, and the nearest rival must lose."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.adversarial._inputs import log_others


class BoostedCrossEntropyParams(LossParams):
    """Parameters of `boosted_cross_entropy`: none."""


@loss(
    formula=r"-\log p_y - \log\left(1 - \max_{k \ne y} p_k\right)",
    source="Wang et al. 2020 (MART), ICLR, eq. 8",
    units="nats",
    card=Card(
        characteristics="Cross-entropy with a margin: it goes on pushing where one rival is near.",
        use="On adversarial examples; the first part of `mart`.",
        stability="Both logarithms are differences of log-sum-exps. The first of equal rivals is "
        "the one that is pushed.",
        data="Logits of perturbed inputs, true labels.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def boosted_cross_entropy(
    logits: FiniteLogits, labels: Labels, *, params: BoostedCrossEntropyParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy, and minus the log of one minus the largest other probability.

    Returns one value per item, in nats, >= 0. With one class it is 0.
    """
    return -at_label(torch.log_softmax(logits, dim=1), labels) - log_others(logits, labels)
