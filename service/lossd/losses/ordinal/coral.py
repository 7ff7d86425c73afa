"""CORAL: one yes-or-no question for each threshold between ordered classes."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.ordinal._thresholds import OrdinalLabels, ThresholdLogits, thresholds_like


class CoralParams(LossParams):
    """`coral` has no parameters."""


@loss(
    formula=r"-\sum_k \lambda_k \left([y > k] \log \sigma(z_k) + [y \le k] \log(1 - \sigma(z_k))"
    r"\right)",
    source="Cao et al. 2020, arXiv:1901.07884, eq. 4",
    units="nats",
    card=Card(
        characteristics="Binary cross-entropy of every threshold; convex in the logits.",
        use="Ages, grades, stages: with one shared weight vector and a bias per threshold the "
        "answers never contradict each other.",
        stability="Stable for any finite logit.",
        data="Integer classes whose order, but not distance, means something.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, -0.2, -0.9]], "labels": [2, 0]}),
)
def coral(
    logits: ThresholdLogits,
    labels: OrdinalLabels,
    threshold_weights: Annotated[
        Float[Tensor, "thresholds"], Arg(doc="Weight of each threshold, 1 if absent.", low=0)
    ]
    | None = None,
    *,
    params: CoralParams,
) -> Float[Tensor, "rows"]:
    """Binary cross-entropy of being above each threshold, added up.

    Returns one value per row, in nats, >= 0.
    """
    above = labels.unsqueeze(1) > thresholds_like(logits)
    value = softplus(torch.where(above, -logits, logits))
    return (value if threshold_weights is None else value * threshold_weights).sum(1)
