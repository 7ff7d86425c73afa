"""Cross-entropy on labels or target probabilities: what most classifiers are trained with."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import ClassWeights, IgnorableLabels, Logits, TargetProbabilities
from lossd.losses._ops import (
    along_classes,
    at_label,
    counted,
    is_ignored,
    label_weights,
    log_softmax,
    log_softmax_counted,
    times_log,
)
from lossd.losses._spec import Card, Example, LossParams, SoftmaxRecipe


class CrossEntropyParams(LossParams):
    """Parameters of `cross_entropy`."""

    ignore_index: int | None = Field(None, description="Label of items that do not count.")
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="Share of the target spread evenly over the possible classes."
    )
    unnormalized_targets: bool = Field(
        False, description="Accept target_probabilities that do not sum to 1."
    )


def weight_of_item(
    params: CrossEntropyParams,
    labels: Int[Tensor, "rows *spatial"] | None = None,
    target_probabilities: Float[Tensor, "rows classes *spatial"] | None = None,
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """The class weight of the label, or the mean class weight under soft targets; 0 if ignored."""
    if labels is not None:
        return label_weights(labels, class_weights, params.ignore_index)
    assert target_probabilities is not None
    if class_weights is None:
        return torch.ones_like(target_probabilities[:, 0])
    return (target_probabilities * along_classes(class_weights, target_probabilities.ndim)).sum(1)


def slope_of_item(
    logits: Logits,
    params: CrossEntropyParams,
    labels: Int[Tensor, "rows *spatial"] | None = None,
    **_: Tensor,
) -> Float[Tensor, "rows *spatial"]:
    """1 for an item that counts, 0 for an ignored one."""
    return torch.ones_like(logits[:, 0]) if labels is None else counted(labels, params.ignore_index)


@loss(
    formula=r"-\sum_k w_k\, t_k \log p_k,\quad p = \operatorname{softmax}(z)",
    source="Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.108; label smoothing: "
    "Szegedy et al. 2016, arXiv:1512.00567, section 7",
    units="nats",
    weights=weight_of_item,
    exactly_one_of=(("labels", "target_probabilities"),),
    card=Card(
        characteristics="Convex in the logits, unbounded; a proper scoring rule.",
        use="Single-label classification; the first choice until there is a reason against it.",
        stability="Stable for any finite logits: log-sum-exp after subtracting the row maximum. "
        "The gradient of a logit is bounded by the item's weight.",
        data="Clean labels and not too unequal classes; label noise is fitted in the end.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]},
        {"label_smoothing": 0.1},
    ),
    recipe=SoftmaxRecipe(slope=slope_of_item, weights="class_weights", smoothing="label_smoothing"),
    linear=True,
    topics=("imbalance",),
)
def cross_entropy(
    logits: Logits,
    labels: IgnorableLabels | None = None,
    target_probabilities: TargetProbabilities | None = None,
    class_weights: ClassWeights | None = None,
    *,
    params: CrossEntropyParams,
) -> Float[Tensor, "rows *spatial"]:
    r"""Minus the log of the probability of the right class.

    With `label_smoothing` a the target is (1 - a) t + a / K over the K classes of the item whose
    logit is not -inf. With class weights every target probability is multiplied by its class's
    weight, so that a one-hot target equals its index; so is the denominator (torch divides soft
    targets by the number of items instead).

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where a target's logit is -inf.
    """
    weight = None if class_weights is None else along_classes(class_weights, logits.ndim)
    if labels is not None:
        ignored = is_ignored(labels, params.ignore_index)
        log_p = log_softmax_counted(logits, ignored)
        safe = labels.masked_fill(ignored, 0)
        value = -at_label(log_p, safe)
        if class_weights is not None:
            value = times_log(class_weights[safe], value)
    else:
        assert target_probabilities is not None
        log_p = log_softmax(logits)
        value = -_weighted(weight, target_probabilities, log_p)
    if params.label_smoothing:
        possible = (log_p != -torch.inf).to(log_p.dtype)
        spread = possible / possible.sum(1, keepdim=True)
        uniform = -_weighted(weight, spread, log_p)
        value = _mix(value, uniform, params.label_smoothing)
    return value if labels is None else value.masked_fill(ignored, 0.0)


def _weighted(weight: Tensor | None, target: Tensor, log_p: Tensor) -> Tensor:
    return times_log(target if weight is None else target * weight, log_p).sum(1)


def _mix(value: Tensor, uniform: Tensor, share: float) -> Tensor:
    """At a share of 1 the value may be infinite and does not matter."""
    return uniform if share == 1 else (1.0 - share) * value + share * uniform
