"""LogitNorm: cross-entropy of logits of one length, so that only their direction can learn."""

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import at_label, counted, direction, is_ignored, log_softmax_counted
from lossd.losses._spec import Card, Example, LossParams


class LogitNormalizationParams(LossParams):
    """Parameters of `logit_normalization`."""

    temperature: float = Field(
        0.04, ge=1e-4, le=1e4, description="The length that logits get is 1 / temperature."
    )
    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: LogitNormalizationParams, labels: Int[Tensor, "rows *spatial"]
) -> Tensor:
    """1 for an item that counts, 0 for an ignored one."""
    return counted(labels, params.ignore_index)


@loss(
    formula=r"-\log \operatorname{softmax}\left(\frac{z}{\tau \lVert z \rVert}\right)_y",
    source="Wei et al. 2022, arXiv:2205.09310, section 3",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Bounded below by the temperature: length cannot buy confidence. Not "
        "convex.",
        use="Classifiers that must know unfamiliar inputs by their confidence, or the length of "
        "their logits.",
        stability="The gradient is that of cross_entropy over the length of the logits. Logits of "
        "0 have no direction and no gradient.",
        data="As cross_entropy; tune the temperature to the number of classes.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}, {"temperature": 0.5}
    ),
)
def logit_normalization(
    logits: FiniteLogits, labels: IgnorableLabels, *, params: LogitNormalizationParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of the logits over their Euclidean length and the temperature.

    The authors' code adds 1e-7 to the length; this does not.

    Returns one value per item, in nats, > 0, 0 where ignored.
    """
    ignored = is_ignored(labels, params.ignore_index)
    log_p = log_softmax_counted(direction(logits) / params.temperature, ignored)
    return -at_label(log_p, labels.masked_fill(ignored, 0)).masked_fill(ignored, 0.0)
