"""Bootstrapping: the target is part label, part what the model itself believes."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, times_log
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_probabilities


class BootstrapParams(IgnoringParams):
    """Parameters of `bootstrap`."""

    kind: Literal["soft", "hard"] = Field(
        "soft", description="Whether the model's part is its probabilities or its first choice."
    )
    beta: float = Field(
        0.95, ge=0, le=1, description="Share of the label; 1 is cross-entropy. Hard: 0.8 in use."
    )


@loss(
    formula=r"-\beta \log p_y - (1 - \beta) \sum_k q_k \log p_k,\quad q = p \text{ or "
    r"one-hot at its largest},\ p = \operatorname{softmax}(z)",
    source="Reed et al. 2014, arXiv:1412.6596, soft and hard bootstrapping",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="soft is cross_entropy with an entropy that is made small; hard pays for "
        "not believing its own first choice.",
        use="Noisy or missing labels once the model has learned something; not from the start.",
        stability="0 log 0 is 0. The gradient of soft flows through the belief too, that of hard "
        "does not; equal first choices: the class of the lowest index.",
        data="Labels of which some are wrong. A small beta makes the model its own teacher, and "
        "its mistakes stay.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def bootstrap(
    logits: Logits, labels: IgnorableLabels, *, params: BootstrapParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of a mixture of the label and the prediction.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is -inf
    unless beta is 0.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    beta = log_p.new_tensor(params.beta)
    if params.kind == "soft":
        possible = log_p.masked_fill(log_p == -torch.inf, 0.0)
        own = (log_p.exp() * possible).sum(1)
    else:
        own = at_label(log_p, log_p.detach().argmax(1))
    value = -times_log(beta, at_label(log_p, safe)) - (1.0 - params.beta) * own
    return value.masked_fill(ignored, 0.0)
