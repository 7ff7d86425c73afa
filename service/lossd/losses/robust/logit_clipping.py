"""Logit clipping: cross-entropy of logits whose length is bounded, and so is the loss."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import at_label, direction
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_probabilities


class LogitClippingParams(IgnoringParams):
    """Parameters of `logit_clipping`."""

    threshold: float = Field(
        1.0, gt=0, le=1e4, description="Longest Euclidean length of an item's logits."
    )


@loss(
    formula=r"-\log p_y,\quad p = \operatorname{softmax}(\min(1, \tau / \lVert z \rVert_2)\, z)",
    source="Wei et al. 2023, arXiv:2212.04055, LogitClip, of cross-entropy",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="cross_entropy that no item can drive beyond log K + sqrt(2) times "
        "the threshold: sure mistakes and sure right answers stop counting.",
        use="Noisy labels, with otherwise unchanged training.",
        stability="Bounded. The gradient of a clipped item has no part along its logits, and falls "
        "with their length.",
        data="Wrong labels; the threshold wants a search, and grows with cleaner labels.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def logit_clipping(
    logits: FiniteLogits, labels: IgnorableLabels, *, params: LogitClippingParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy after longer logits are cut to the threshold, in their direction.

    Returns one value per item, in nats, >= 0, 0 where ignored. At the kink, a length of exactly the
    threshold, the gradient is that of logits that are not clipped.
    """
    unit = direction(logits)
    length = (unit * logits).detach().sum(1, keepdim=True)
    clipped = torch.where(length > params.threshold, params.threshold * unit, logits)
    log_p, safe, ignored = log_probabilities(clipped, labels, params.ignore_index)
    return -at_label(log_p, safe).masked_fill(ignored, 0.0)
