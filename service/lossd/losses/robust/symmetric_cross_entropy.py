"""Symmetric cross-entropy (SCE): cross-entropy, and the reverse one against wrong labels."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label, times_log
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_probabilities, miss_of


class SymmetricCrossEntropyParams(IgnoringParams):
    """Parameters of `symmetric_cross_entropy`."""

    alpha: float = Field(0.1, ge=0, le=1e3, description="Factor of the cross-entropy.")
    beta: float = Field(1.0, ge=0, le=1e3, description="Factor of the reverse cross-entropy.")
    log_zero: float = Field(
        -4.0, ge=-1e3, lt=0, description="What stands for the log of a label's probability 0."
    )


@loss(
    formula=r"-\alpha \log p_y - \beta A (1 - p_y),\quad p = \operatorname{softmax}(z)",
    source="Wang et al. 2019, arXiv:1908.06112, SL, with its alpha, beta and A",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Cross-entropy learns hard classes, the reverse one pays a bounded sum for "
        "a wrong label. Unbounded as a whole, unless alpha is 0.",
        use="Noisy labels of moderate share; a small alpha against overfitting.",
        stability="As cross_entropy; the gradient of a logit is bounded by alpha - beta A / 4.",
        data="Wrong labels. The paper has A = -4 with alpha 0.1 and 6.0 by data set; code that "
        "clips labels at 1e-4 has A = -9.21.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def symmetric_cross_entropy(
    logits: Logits, labels: IgnorableLabels, *, params: SymmetricCrossEntropyParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy times alpha, and reverse cross-entropy times beta.

    Returns one value per item, in nats, >= 0, 0 where ignored; +inf where the label's logit is -inf
    unless alpha is 0.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    of_label = at_label(log_p, safe)
    active = -times_log(of_label.new_tensor(params.alpha), of_label)
    passive = -params.log_zero * params.beta * miss_of(of_label)
    return (active + passive).masked_fill(ignored, 0.0)
