"""Negative log-likelihood on log-probabilities that the caller computed."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import ClassWeights, IgnorableLabels, LogProbabilities
from lossd.losses._ops import at_label, is_ignored, label_weights, times_log
from lossd.losses._spec import Card, Example, LossParams


class NllParams(LossParams):
    """Parameters of `nll`."""

    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: NllParams,
    labels: Int[Tensor, "rows *spatial"],
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, "rows *spatial"]:
    """The class weight of the label; 0 if ignored."""
    return label_weights(labels, class_weights, params.ignore_index)


@loss(
    formula=r"-w_y \log p_y",
    source="Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.108",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Linear in the log-probabilities.",
        use="When the model's last layer is a log-softmax; else cross_entropy on logits.",
        stability="Exact. What precision there is was decided where the logarithm was taken.",
        data="As cross_entropy. Probabilities in place of their logarithms are refused.",
    ),
    example=Example({"log_probabilities": [[-0.5, -0.93], [-2.3, -0.105]], "labels": [0, 1]}),
)
def nll(
    log_probabilities: LogProbabilities,
    labels: IgnorableLabels,
    class_weights: ClassWeights | None = None,
    *,
    params: NllParams,
) -> Float[Tensor, "rows *spatial"]:
    """Minus the log-probability of the right class, as given.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's is -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    value = -at_label(log_probabilities, safe)
    if class_weights is not None:
        value = times_log(class_weights[safe], value)
    return value.masked_fill(ignored, 0.0)
