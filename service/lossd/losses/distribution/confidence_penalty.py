"""Cross-entropy less a share of the prediction's entropy, against overconfidence."""

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
    positive_part,
    times_log,
)
from lossd.losses._spec import Card, Example, LossParams


class ConfidencePenaltyParams(LossParams):
    """Parameters of `confidence_penalty`."""

    beta: float = Field(0.1, ge=0, description="Weight of the entropy, unitless.")
    threshold: float | None = Field(
        None,
        ge=0,
        description="In nats. Where given, only entropy that is missing to it costs: beta "
        "max(0, threshold - H).",
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: ConfidencePenaltyParams,
    labels: Int[Tensor, "rows *spatial"],
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """The class weight of the label; 0 if ignored."""
    return label_weights(labels, class_weights, params.ignore_index)


@loss(
    formula=r"w_y \left(-\log p_y - \beta H(p)\right),\quad p = \operatorname{softmax}(z)",
    source="Pereyra et al. 2017, arXiv:1701.06548, section 3.1; threshold: section 3.2",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Cross-entropy that rewards uncertainty: its minimiser is flatter than "
        "the labels. Label smoothing is its reverse divergence.",
        use="Better calibrated probabilities, exploration of policies.",
        stability="Log-softmax; 0 log 0 is 0. The value may be negative; with beta below 1 the "
        "right class still gains.",
        data="As cross_entropy; too large a beta underfits.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def confidence_penalty(
    logits: Logits,
    labels: IgnorableLabels,
    class_weights: ClassWeights | None = None,
    *,
    params: ConfidencePenaltyParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of the label less beta times the entropy of the prediction.

    Returns one value per item, 0 where ignored; +inf where the label's logit is -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    log_p = log_softmax_counted(logits, ignored)
    missing = times_log(log_p.exp(), log_p).sum(1)
    if params.threshold is not None:
        missing = positive_part(missing + params.threshold)
    value = params.beta * missing - at_label(log_p, safe)
    if class_weights is not None:
        value = times_log(class_weights[safe], value)
    return value.masked_fill(ignored, 0.0)
