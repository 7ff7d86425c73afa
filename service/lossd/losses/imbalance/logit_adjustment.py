"""Logit adjustment: cross-entropy of logits to which the log of the class prior is added."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import along_classes
from lossd.losses._spec import Card, Example
from lossd.losses.imbalance._prior import ClassCounts, cross_entropy_of, log_prior


class LogitAdjustmentParams(IgnoringParams):
    """Parameters of `logit_adjustment`."""

    tau: float = Field(
        1.0, ge=0, le=100, description="Strength, unitless. 0 is cross-entropy, 1 is consistent."
    )


@loss(
    formula=r"-\log \frac{\pi_y^\tau e^{z_y}}{\sum_k \pi_k^\tau e^{z_k}},"
    r"\quad \pi_k = n_k / \textstyle\sum_j n_j",
    source="Menon et al. 2020, arXiv:2007.07314, eq. 10",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="A margin between each pair of classes, larger in favour of the rarer; at "
        "tau 1 consistent for the balanced error. Convex in the logits.",
        use="Unequal classes in training, equal ones in what counts. Predict by the raw logits.",
        stability="As cross_entropy: the prior is a shift of the logits, added as a logarithm.",
        data="Class counts of the training set. A class of 0 items counts as impossible: an item "
        "with its label costs +inf.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "class_counts": [90, 9, 1],
        }
    ),
)
def logit_adjustment(
    logits: Logits,
    labels: IgnorableLabels,
    class_counts: ClassCounts,
    *,
    params: LogitAdjustmentParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of logits + tau log prior; the prior is the counts over their sum.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is -inf
    or, unless tau is 0, its count 0.
    """
    if params.tau:
        prior = along_classes(log_prior(class_counts), logits.ndim)
        logits = logits + params.tau * prior
    return cross_entropy_of(logits, labels, params.ignore_index)
