"""Binary cross-entropy on logits: one yes-or-no question per element."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import BinaryTargets, Scores
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams


class BinaryCrossEntropyWithLogitsParams(LossParams):
    """`binary_cross_entropy_with_logits` has no parameters."""


@loss(
    formula=r"-c\,y \log \sigma(z) - (1 - y) \log(1 - \sigma(z))",
    source="Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.90",
    units="nats",
    card=Card(
        characteristics="Convex in the logits, unbounded; a proper scoring rule.",
        use="Binary and multilabel classification: every element is decided on its own.",
        stability="Stable for any finite logit, in value and in gradient.",
        data="Independent labels; pos_weight (negatives over positives) where positives are rare.",
    ),
    example=Example(
        {"logits": [[2.0, -1.0], [0.5, 0.0]], "targets": [[1, 0], [0, 1]], "pos_weight": [1.0, 3.0]}
    ),
    topics=("imbalance",),
)
def binary_cross_entropy_with_logits(
    logits: Scores,
    targets: BinaryTargets,
    pos_weight: Annotated[
        Float[Tensor, "*rest"],
        Arg(doc="Factor of the positive part; the shape of one row of the logits.", low=0),
    ]
    | None = None,
    *,
    params: BinaryCrossEntropyWithLogitsParams,
) -> Float[Tensor, "rows *rest"]:
    """Cross-entropy of a yes-or-no answer, one value per element.

    The mean divides by the number of elements, also under `pos_weight`, as torch does.
    """
    # Two terms that are never negative: nothing cancels, however large the logit.
    positive = targets * softplus(-logits)
    if pos_weight is not None:
        positive = positive * pos_weight
    return positive + (1.0 - targets) * softplus(logits)
