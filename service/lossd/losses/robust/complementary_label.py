"""Complementary labels: risks estimated from classes that items are not of."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import FiniteLogits
from lossd.losses._ops import at_label, one_hot
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_miss, log_probabilities
from lossd.losses.robust.negative_learning import ComplementaryLabels

Kind = Literal["forward", "unbiased", "pairwise_comparison", "one_versus_rest"]


class ComplementaryLabelParams(IgnoringParams):
    """Parameters of `complementary_label`."""

    kind: Kind = Field(
        "forward",
        description="Cross-entropy through uniform noise; the unbiased estimate of cross-entropy; "
        "or sigmoid losses of pairs of classes, or of classes alone.",
    )


@loss(
    formula=r"\text{forward: } -\log \tfrac{1 - p_{\bar y}}{K - 1};\quad \text{unbiased: } "
    r"(K - 1) \log p_{\bar y} - \textstyle\sum_k \log p_k;\quad \text{pairs: } "
    r"\sum_{k \ne \bar y} \sigma(z_{\bar y} - z_k);\quad \text{one: } "
    r"\sigma(z_{\bar y}) + \tfrac{1}{K - 1} \sum_{k \ne \bar y} \sigma(-z_k)",
    source="forward: Yu et al. 2018, arXiv:1711.09535; unbiased: Ishida et al. 2019, "
    "arXiv:1810.04327; pairs and one-versus-rest: Ishida et al. 2017, arXiv:1705.07541",
    units="nats; unitless for the sigmoid kinds",
    weights=counted_item,
    card=Card(
        characteristics="forward is bounded below and not convex; unbiased has the mean of "
        "cross_entropy and no bound; the sigmoid kinds are bounded.",
        use="Data of which one only knows a class that each item is not of, drawn uniformly.",
        stability="unbiased runs off to minus infinity with a flexible model. Sigmoid kinds have "
        "vanishing gradients far out.",
        data="Few classes: with K of them a complementary label is worth about 1 / (K - 1) of one.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [1, 0]}),
)
def complementary_label(
    logits: FiniteLogits, labels: ComplementaryLabels, *, params: ComplementaryLabelParams
) -> Float[Tensor, "rows *spatial"]:
    """What an item costs of which one class is known that it is not of.

    Returns one value per item, 0 where ignored; of either sign for `unbiased`. Of one class alone
    forward is +inf, with no gradient.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    others = max(logits.shape[1] - 1, 1)
    if params.kind == "forward":
        value = math.log(others) - log_miss(log_p, safe)
    elif params.kind == "unbiased":
        value = (logits.shape[1] - 1) * at_label(log_p, safe) - log_p.sum(1)
    else:
        value = _sigmoid_kind(logits, safe, others, params.kind)
    return value.masked_fill(ignored, 0.0)


def _sigmoid_kind(logits: Tensor, labels: Tensor, others: int, kind: Kind) -> Tensor:
    own, here = at_label(logits, labels), one_hot(labels, logits) == 1
    if kind == "pairwise_comparison":
        return torch.sigmoid(own.unsqueeze(1) - logits).masked_fill(here, 0.0).sum(1)
    rest = torch.sigmoid(-logits).masked_fill(here, 0.0).sum(1)
    return torch.sigmoid(own) + rest / others
