"""CORN: is it above this threshold, given that it is above the one before?"""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.ordinal._thresholds import OrdinalLabels, ThresholdLogits, thresholds_like


class CornParams(LossParams):
    """`corn` has no parameters."""


@loss(
    formula=r"-\sum_{k \le y} \left([y > k] \log \sigma(z_k) + [y = k] \log(1 - \sigma(z_k))"
    r"\right)",
    source="Shi et al. 2021, arXiv:2111.08851, eq. 6",
    units="nats",
    card=Card(
        characteristics="The likelihood of a chain of questions; the last class answers all.",
        use="Ordered classes without CORAL's shared weights; the answers' running product is the "
        "probability of being above each threshold.",
        stability="Stable for any finite logit.",
        data="Integer classes in order; late thresholds learn only from the rows that reach them.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, -0.2, -0.9]], "labels": [2, 0]}),
)
def corn(
    logits: ThresholdLogits, labels: OrdinalLabels, *, params: CornParams
) -> Float[Tensor, "rows"]:
    """Binary cross-entropy of every question that a row comes to, added up.

    It is the negative log-likelihood of the class, so a mean is over rows; coral_pytorch's mean is
    over questions, which is the sum here over sum(min(label + 1, thresholds)).

    Returns one value per row, in nats, >= 0.
    """
    threshold = thresholds_like(logits)
    above, asked = labels.unsqueeze(1) > threshold, labels.unsqueeze(1) >= threshold
    value = softplus(torch.where(above, -logits, logits))
    return value.masked_fill(~asked, 0.0).sum(1)
