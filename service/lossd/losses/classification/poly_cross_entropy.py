"""Poly-1: cross-entropy with the first term of its series, 1 - p, weighed anew."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import IgnorableLabels, Logits, TargetProbabilities
from lossd.losses._ops import (
    at_label,
    counted,
    is_ignored,
    log_softmax,
    log_softmax_counted,
    times_log,
)
from lossd.losses._spec import Card, Example, LossParams


class PolyCrossEntropyParams(LossParams):
    """Parameters of `poly_cross_entropy`."""

    epsilon: float = Field(
        2.0,
        ge=-1,
        le=1e6,
        description="Added weight of 1 - p; 0 is cross-entropy.",
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")
    unnormalized_targets: bool = Field(
        False, description="Accept target_probabilities that do not sum to 1."
    )


def weight_of_item(
    params: PolyCrossEntropyParams,
    labels: Int[Tensor, "rows *spatial"] | None = None,
    target_probabilities: Float[Tensor, "rows classes *spatial"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """1 for an item that counts, 0 for an ignored one."""
    if labels is not None:
        return counted(labels, params.ignore_index)
    assert target_probabilities is not None
    return torch.ones_like(target_probabilities[:, 0])


@loss(
    formula=r"\sum_k t_k \left(-\log p_k + \epsilon (1 - p_k)\right),"
    r"\quad p = \operatorname{softmax}(z)",
    source="Leng et al. 2022, arXiv:2204.12511, Poly-1",
    units="nats",
    weights=weight_of_item,
    exactly_one_of=(("labels", "target_probabilities"),),
    card=Card(
        characteristics="A positive epsilon pushes on where cross-entropy is nearly content, a "
        "negative one lets go earlier; convex only at epsilon 0.",
        use="As cross_entropy, with one number to tune: 2 for ImageNet in the paper, -1 for "
        "strongly imbalanced detection.",
        stability="1 - p is taken as -expm1(log p). Stable for any finite logits.",
        data="As cross_entropy.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
    linear=True,
)
def poly_cross_entropy(
    logits: Logits,
    labels: IgnorableLabels | None = None,
    target_probabilities: TargetProbabilities | None = None,
    *,
    params: PolyCrossEntropyParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy plus epsilon times the probability that the right class does not get.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where a target's logit is -inf.
    """
    if labels is None:
        assert target_probabilities is not None
        log_p = log_softmax(logits)
        missed = target_probabilities * -torch.expm1(log_p)
        return (params.epsilon * missed - times_log(target_probabilities, log_p)).sum(1)
    ignored = is_ignored(labels, params.ignore_index)
    log_p = log_softmax_counted(logits, ignored)
    log_p_y = at_label(log_p, labels.masked_fill(ignored, 0))
    return (-log_p_y - params.epsilon * torch.expm1(log_p_y)).masked_fill(ignored, 0.0)
