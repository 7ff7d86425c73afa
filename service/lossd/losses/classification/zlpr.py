"""ZLPR: cross-entropy of several labels per row, with 0 as the bar between labels and others."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import MultiLabels, RowLogits
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.classification._multilabel import logsumexp_where


class ZlprParams(LossParams):
    """`zlpr` has no parameters."""


@loss(
    formula=r"\log\Bigl(1 + \sum_{i \in Y} e^{-z_i}\Bigr) + "
    r"\log\Bigl(1 + \sum_{j \notin Y} e^{z_j}\Bigr)",
    source="Su et al. 2022, arXiv:2208.02955, section 3",
    units="nats",
    card=Card(
        characteristics="Convex. Labels are ranked above 0 and the others below it, together: only "
        "the worst of each side pull much.",
        use="Multilabel data with many classes of which few are labels; predict where z > 0.",
        stability="Log-sum-exp of each side with a 0 among it: stable for any finite logit.",
        data="Any number of labels per row, also none; classes may depend on each other.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "targets": [[1, 0, 1], [0, 0, 1]]}
    ),
)
def zlpr(logits: RowLogits, targets: MultiLabels, *, params: ZlprParams) -> Float[Tensor, "rows"]:
    """Log-sum-exp of 0 and the negated scores of the labels, and of 0 and the others' scores.

    Returns one value per row, in nats, >= 0.
    """
    labelled = targets == 1
    below = _over_zero(logsumexp_where(-logits, labelled, 1))
    return below + _over_zero(logsumexp_where(logits, ~labelled, 1))


def _over_zero(x: Tensor) -> Tensor:
    """log(1 + e^x), where x may be -inf."""
    nothing = x == -torch.inf
    return softplus(x.masked_fill(nothing, 0.0)).masked_fill(nothing, 0.0)
