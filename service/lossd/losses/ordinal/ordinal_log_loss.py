"""Ordinal log-loss: every wrong class costs what it is probable, times how far off it is."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import log1mexp, log_sum_exp, power, times_log
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.ordinal._thresholds import class_distances


class OrdinalLogLossParams(LossParams):
    """Parameters of `ordinal_log_loss`."""

    alpha: float = Field(1.5, gt=0, le=16, description="Power of the distance of classes.")


@loss(
    formula=r"-\sum_k |y - k|^\alpha \log(1 - p_k),\quad p = \operatorname{softmax}(z)",
    source="Castagnos et al. 2022, A Simple Log-based Loss Function for Ordinal Text "
    "Classification, COLING, eq. 2",
    units="nats",
    card=Card(
        characteristics="Pushes wrong classes down instead of the right one up.",
        use="Ordered text classes, where far errors are much worse than near ones.",
        stability="1 - p is taken in logarithms, so a row that is sure and wrong keeps its "
        "gradient. alpha of 1 to 2.",
        data="Integer classes at equal distances.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [2, 1]}),
)
def ordinal_log_loss(
    logits: Annotated[Float[Tensor, "rows classes"], Arg(doc="Raw scores.", gradient=True)],
    labels: Annotated[Int[Tensor, "rows"], Arg(doc="Class of each row.", index_of="classes")],
    *,
    params: OrdinalLogLossParams,
) -> Float[Tensor, "rows"]:
    """Minus the log of not being each wrong class, times a power of its distance.

    Returns one value per row, in nats, >= 0; 0 where there is one class.
    """
    weight = power(class_distances(labels, logits), params.alpha)
    return -times_log(weight, _log_of_rest(logits)).sum(1)


def _log_of_rest(logits: Tensor) -> Tensor:
    """log(1 - p). Of the likeliest class p may round to 1: there it is the others' log-sum."""
    if logits.shape[1] == 1:
        return 0.0 * logits
    log_p = torch.log_softmax(logits, 1)
    best = torch.zeros_like(logits, dtype=torch.bool)
    best.scatter_(1, logits.argmax(1, keepdim=True), True)
    others = log_sum_exp(log_p.masked_fill(best, -torch.inf), 1).unsqueeze(1)
    return torch.where(best, others, log1mexp(log_p.masked_fill(best, -1.0)))
