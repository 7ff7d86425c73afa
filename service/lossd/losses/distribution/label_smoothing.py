"""Cross-entropy of a label that is not quite certain."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import ClassWeights, IgnorableLabels, Logits
from lossd.losses._ops import (
    at_label,
    is_ignored,
    label_weights,
    log_softmax_counted,
    one_hot,
    times_log,
)
from lossd.losses._spec import Card, Example, LossParams


class LabelSmoothingParams(LossParams):
    """Parameters of `label_smoothing`."""

    smoothing: float = Field(
        0.1, ge=0, le=1, description="Share of the target that is spread over classes."
    )
    spread: Literal["all", "others"] = Field(
        "all",
        description="Over all possible classes, the label's too (torch, Keras, timm), or over the "
        "others only (fairseq).",
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: LabelSmoothingParams,
    labels: Int[Tensor, "rows *spatial"],
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """The class weight of the label; 0 if ignored."""
    return label_weights(labels, class_weights, params.ignore_index)


@loss(
    formula=r"-w_y \left((1 - \epsilon) \log p_y + \frac{\epsilon}{|S|} \sum_{k \in S} \log "
    r"p_k\right),\quad p = \operatorname{softmax}(z)",
    source="Szegedy et al. 2016, arXiv:1512.00567, section 7; over the others: Vaswani et al. "
    "2017, arXiv:1706.03762, section 5.4, as fairseq reads it",
    units="nats",
    weights=weight_of_item,
    topics=("calibration",),
    card=Card(
        characteristics="Its minimiser gives the label 1 - smoothing, or a little more, and the "
        "other classes the rest evenly. Never 0 for a smoothing within (0, 1).",
        use="Image classifiers, translation: where confidence beyond that is of no use. "
        "cross_entropy has it too, with class weights per class and soft targets.",
        stability="Log-softmax. A class with logit -inf gets no share.",
        data="Many classes; distilled students learn less from a smoothed teacher.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}, {"spread": "others"}
    ),
)
def label_smoothing(
    logits: Logits,
    labels: IgnorableLabels,
    class_weights: ClassWeights | None = None,
    *,
    params: LabelSmoothingParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of a one-hot label, of which a share is spread: one value per item.

    The class weight is that of the label, for the spread share too, so that weighing is a matter
    of items. 0 where ignored. Where no other class is possible, nothing is spread over others.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    log_p = log_softmax_counted(logits, ignored)
    hot = one_hot(safe, log_p)
    share = (log_p > -torch.inf).to(log_p.dtype)
    if params.spread == "others":
        share = share * (1.0 - hot)
    count = share.sum(1, keepdim=True)
    target = params.smoothing * share / count.clamp(min=1.0)
    kept = 1.0 - params.smoothing * (count > 0).to(log_p.dtype)
    value = -(times_log(target, log_p).sum(1) + times_log(kept.squeeze(1), at_label(log_p, safe)))
    if class_weights is not None:
        value = times_log(class_weights[safe], value)
    return value.masked_fill(ignored, 0.0)
