"""Balanced softmax: the softmax of a classifier that was trained on unequal classes, made equal."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import along_classes
from lossd.losses._spec import Card, Example
from lossd.losses.imbalance._prior import ClassCounts, cross_entropy_of, log_prior


class BalancedSoftmaxParams(IgnoringParams):
    """Parameters of `balanced_softmax`."""


@loss(
    formula=r"-\log \frac{n_y e^{z_y}}{\sum_k n_k e^{z_k}}",
    source="Ren et al. 2020, arXiv:2007.10740, the balanced softmax of theorem 1",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="logit_adjustment at tau 1, without a parameter. Convex in the logits.",
        use="Long-tailed classification that is judged on equal classes; predict by raw logits.",
        stability="As cross_entropy: the counts enter as a shift of the logits by their logarithm.",
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
def balanced_softmax(
    logits: Logits,
    labels: IgnorableLabels,
    class_counts: ClassCounts,
    *,
    params: BalancedSoftmaxParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of a softmax in which each class counts as often as it has items.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is -inf
    or its count 0.
    """
    adjusted = logits + along_classes(log_prior(class_counts), logits.ndim)
    return cross_entropy_of(adjusted, labels, params.ignore_index)
