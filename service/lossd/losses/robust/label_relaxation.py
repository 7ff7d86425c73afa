"""Label relaxation: the target is any distribution that gives the label enough."""

import math

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_miss, log_probabilities


class LabelRelaxationParams(IgnoringParams):
    """Parameters of `label_relaxation`."""

    alpha: float = Field(
        0.1, ge=0, lt=1, description="What the target may give to other classes. 0: cross-entropy."
    )


@loss(
    formula=r"0 \text{ if } p_y \ge 1 - \alpha, \text{ else } (1 - \alpha) \log "
    r"\frac{1 - \alpha}{p_y} + \alpha \log \frac{\alpha}{1 - p_y},\quad p = "
    r"\operatorname{softmax}(z)",
    source="Lienen and Huellermeier 2021, From label smoothing to label relaxation",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="The divergence from the nearest target of a set, so an item that is sure "
        "enough costs nothing. Convex in the probabilities.",
        use="In place of label smoothing, for calibrated probabilities that nothing pushes to 1.",
        stability="log(1 - p) is added up from the other classes. At the border value and gradient "
        "go to 0 together.",
        data="Labels of which a share alpha may be wrong.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def label_relaxation(
    logits: Logits, labels: IgnorableLabels, *, params: LabelRelaxationParams
) -> Float[Tensor, "rows *spatial"]:
    """How far a prediction is from the nearest target that gives the label 1 - alpha or more.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is
    -inf.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    of_label, a = at_label(log_p, safe), params.alpha
    if a == 0:
        return -of_label.masked_fill(ignored, 0.0)
    relaxed = (of_label >= math.log1p(-a)) | ignored
    miss = log_miss(log_p, safe).masked_fill(relaxed, 0.0)
    value = (1.0 - a) * (math.log1p(-a) - of_label) + a * (math.log(a) - miss)
    return value.masked_fill(relaxed, 0.0)
