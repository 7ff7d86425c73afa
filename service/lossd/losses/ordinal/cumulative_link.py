"""Cumulative link model: a score on a line that thresholds cut into ordered classes."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log1mexp, softplus
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.ordinal._thresholds import OrdinalLabels


class CumulativeLinkParams(LossParams):
    """`cumulative_link` has no parameters."""


@loss(
    formula=r"-\log\left(\sigma(\theta_y - s) - \sigma(\theta_{y-1} - s)\right),\quad "
    r"\theta_{-1} = -\infty,\ \theta_{K-1} = \infty",
    source="McCullagh 1980, Regression Models for Ordinal Data, J. R. Stat. Soc. B 42, 109-142, "
    "eq. 2.1 with the logistic link",
    units="nats",
    card=Card(
        characteristics="Proportional odds: one score, learned thresholds, K - 1 numbers for K "
        "classes.",
        use="Ordered classes with few rows, or where the score itself is wanted.",
        stability="The difference of sigmoids is taken in logarithms, so far scores keep their "
        "gradient. Keep the thresholds increasing: softplus of their steps does.",
        data="Integer classes on one scale.",
    ),
    example=Example(
        {"scores": [0.3, -1.2, 2.0], "thresholds": [-1.0, 0.5, 1.5], "labels": [1, 0, 3]}
    ),
)
def cumulative_link(
    scores: Annotated[Float[Tensor, "rows"], Arg(doc="Place of each row.", gradient=True)],
    thresholds: Annotated[
        Float[Tensor, "thresholds"],
        Arg(doc="Increasing borders between classes, in units of the score.", gradient=True),
    ],
    labels: OrdinalLabels,
    *,
    params: CumulativeLinkParams,
) -> Float[Tensor, "rows"]:
    """Negative log-likelihood of a class: the logistic mass between its two thresholds.

    A class between thresholds that do not increase has no mass: +inf, without a gradient.

    Returns one value per row, in nats, >= 0.
    """
    count = len(thresholds)
    if not count:
        return 0.0 * scores
    first, last = labels == 0, labels == count
    upper = thresholds[labels.clamp(max=count - 1)] - scores
    lower = thresholds[(labels - 1).clamp(min=0)] - scores
    width = thresholds[labels.clamp(max=count - 1)] - thresholds[(labels - 1).clamp(min=0)]
    inner = ~(first | last)
    empty = inner & (width <= 0)
    of_width = -log1mexp(-width.masked_fill(~inner | empty, 1.0))
    value = softplus(-upper).masked_fill(last, 0.0) + softplus(lower).masked_fill(first, 0.0)
    return (value + of_width.masked_fill(~inner, 0.0)).masked_fill(empty, torch.inf)
