"""Class-balanced loss: items weighed by the effective number of items of their class."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import is_ignored, one_hot
from lossd.losses._spec import Card, Example
from lossd.losses.binary.sigmoid_focal import SigmoidFocalParams, sigmoid_focal
from lossd.losses.classification.focal import FocalParams, focal
from lossd.losses.imbalance._prior import PositiveClassCounts


class ClassBalancedParams(IgnoringParams):
    """Parameters of `class_balanced`."""

    beta: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="How much of an item is new: n items count as (1 - beta^n) / (1 - beta). "
        "0 weighs all classes alike, near 1 by 1 / n.",
    )
    base: Literal["cross_entropy", "focal", "binary_cross_entropy", "sigmoid_focal"] = Field(
        "cross_entropy",
        description="The loss that is weighed; the last two ask of each class whether it is the "
        "label, and add up.",
    )
    gamma: float = Field(2.0, ge=0, le=16, description="Focus of the focal bases, unitless.")
    normalization: Literal["classes", "none"] = Field(
        "classes", description="Whether the weights of the classes are made to add up to classes."
    )


@loss(
    formula=r"\frac{1 - \beta}{1 - \beta^{n_y}}\, c\, \ell(z, y),"
    r"\quad c = C / \textstyle\sum_k \frac{1 - \beta}{1 - \beta^{n_k}}",
    source="Cui et al. 2019, arXiv:1901.05555, the class-balanced loss, section 4",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Between no weights and weights of inverse class frequency, by one number.",
        use="Any of the four bases on long-tailed data; beta near 1 - 1 / N of N distinct items.",
        stability="As the base. The weights are not part of the denominator, as in the paper; give "
        "them to cross_entropy as class_weights where they should be.",
        data="Class counts of the training set, each at least 1. Rare classes are weighed up, and "
        "so are their wrong labels.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "class_counts": [90, 9, 1],
        },
        {"beta": 0.99, "base": "sigmoid_focal"},
    ),
)
def class_balanced(
    logits: FiniteLogits,
    labels: IgnorableLabels,
    class_counts: PositiveClassCounts,
    *,
    params: ClassBalancedParams,
) -> Float[Tensor, "rows *spatial"]:
    """A base loss times the inverse effective number of items of the label's class.

    Returns one value per item, in nats, >= 0, 0 where ignored.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    weight = _class_weights(class_counts, params).to(logits.dtype)[safe]
    return (weight * _base(logits, safe, params)).masked_fill(ignored, 0.0)


def _class_weights(class_counts: Tensor, params: ClassBalancedParams) -> Tensor:
    """In float64: beta^n of a float32 beta near 1 is another number."""
    counts = class_counts.double()
    powers = counts * torch.tensor(params.beta, dtype=torch.float64).log().to(counts.device)
    weights = (1.0 - params.beta) / -torch.expm1(powers)
    return weights * len(weights) / weights.sum() if params.normalization == "classes" else weights


def _base(logits: Tensor, labels: Tensor, params: ClassBalancedParams) -> Tensor:
    gamma = params.gamma if "focal" in params.base else 0.0
    if params.base in ("cross_entropy", "focal"):
        return focal(logits, labels, params=FocalParams(gamma=gamma))
    targets = one_hot(labels, logits)
    return sigmoid_focal(logits, targets, params=SigmoidFocalParams(alpha=None, gamma=gamma)).sum(1)
