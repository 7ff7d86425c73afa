"""Two-way multilabel loss: labels against others, within each row and within each class."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import MultiLabels, RowLogits
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.classification._multilabel import logsumexp_where


class TwoWayParams(LossParams):
    """Parameters of `two_way`."""

    positive_temperature: float = Field(
        4.0, ge=1e-3, le=1e3, description="Softness of the minimum over positives."
    )
    negative_temperature: float = Field(
        1.0, ge=1e-3, le=1e3, description="Softness of the maximum over negatives."
    )


@loss(
    formula=r"\frac{1}{|R|} \sum_{i \in R} \ell(z_{i \cdot}) + \frac{1}{|K|} \sum_{k \in K} "
    r"\ell(z_{\cdot k}),\quad \ell(u) = \log\Bigl(1 + \bigl(\textstyle\sum_{n} e^{u_n / T_n}"
    r"\bigr)^{T_n} \bigl(\sum_{p} e^{-u_p / T_p}\bigr)^{T_p}\Bigr)",
    source="Kobayashi 2023, CVPR, Two-way multi-label loss, section 3",
    units="nats",
    coupling="whole",
    card=Card(
        characteristics="The softly worst label against the softly worst other, once across the "
        "classes of a row and once across the rows of a class.",
        use="Multilabel data with strong imbalance both of labels in a row and of rows in a class.",
        stability="Log-sum-exp throughout: stable for any finite logit. The value depends on the "
        "batch.",
        data="Batches in which many classes have a positive; rows and classes without one do not "
        "count.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "targets": [[1, 0, 1], [0, 0, 1]]}
    ),
)
def two_way(logits: RowLogits, targets: MultiLabels, *, params: TwoWayParams) -> Float[Tensor, ""]:
    """Mean over the rows that have a positive, plus mean over the classes that have one.

    Where there is no negative to compare with, a row or class costs 0. Logits are scores to rank
    by, and no log-odds.

    Returns one value for the whole call, in nats, >= 0; 0 without any positive.
    """
    if not logits.numel():
        return logits.sum()
    positive = targets == 1
    return _one_way(logits, positive, 1, params) + _one_way(logits, positive, 0, params)


def _one_way(logits: Tensor, positive: Tensor, dim: int, params: TwoWayParams) -> Tensor:
    warm, cool = params.positive_temperature, params.negative_temperature
    # Only differences count: from the lowest positive on, so that large logits keep their digits.
    base = logits.detach().masked_fill(~positive, torch.inf).amin(dim, keepdim=True)
    logits = logits - base.masked_fill(base == torch.inf, 0.0)
    lowest = logsumexp_where(-logits / warm, positive, dim) * warm
    highest = logsumexp_where(logits / cool, ~positive, dim) * cool
    gap = lowest + highest
    nothing = gap == -torch.inf
    value = softplus(gap.masked_fill(nothing, 0.0)).masked_fill(nothing, 0.0)
    return value.sum() / positive.any(dim).sum().clamp(min=1)
