"""MbLS: cross-entropy, and a penalty on logits that are too far behind the largest."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import (
    at_label,
    counted,
    is_ignored,
    log_softmax_counted,
    positive_part,
)
from lossd.losses._spec import Card, Example, LossParams


class MarginBasedLabelSmoothingParams(LossParams):
    """Parameters of `margin_based_label_smoothing`."""

    margin: float = Field(10.0, ge=0, description="Distance of two logits that costs nothing.")
    coefficient: float = Field(0.1, ge=0, description="Weight of the penalty.")
    divide_by_classes: bool = Field(
        True, description="Penalty as a mean over classes, as the authors' code; else the sum."
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: MarginBasedLabelSmoothingParams, labels: Int[Tensor, "rows *spatial"]
) -> Tensor:
    """1 for an item that counts, 0 for an ignored one."""
    return counted(labels, params.ignore_index)


@loss(
    formula=r"-\log p_y + \frac{\lambda}{C} \sum_k \max(0,\; \max_j z_j - z_k - m)",
    source="Liu et al. 2022, arXiv:2111.15430, section 3",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Convex. Label smoothing that only acts on distances beyond the margin, "
        "so that probabilities stay told apart.",
        use="Calibrated classifiers and segmentation, in place of label smoothing or focal.",
        stability="Log-softmax and differences: stable for any finite logits. The penalty is "
        "linear in the distance.",
        data="As cross_entropy; the margin says how sure a prediction may be.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}, {"margin": 2.0}
    ),
)
def margin_based_label_smoothing(
    logits: FiniteLogits, labels: IgnorableLabels, *, params: MarginBasedLabelSmoothingParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy plus how far the logits are from being within the margin of the largest.

    The first of tied largest logits takes the gradient; at a kink it is 0.

    Returns one value per item, in nats, >= 0, 0 where ignored.
    """
    ignored = is_ignored(labels, params.ignore_index)
    log_p = log_softmax_counted(logits, ignored)
    largest = at_label(logits, logits.argmax(1)).unsqueeze(1)
    penalty = positive_part(largest - logits - params.margin).sum(1)
    if params.divide_by_classes:
        penalty = penalty / logits.shape[1]
    value = params.coefficient * penalty - at_label(log_p, labels.masked_fill(ignored, 0))
    return value.masked_fill(ignored, 0.0)
