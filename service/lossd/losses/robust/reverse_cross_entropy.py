"""Reverse cross-entropy: label and prediction trade places, and a wrong label costs little."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._ops import at_label
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import log_probabilities, miss_of


class ReverseCrossEntropyParams(IgnoringParams):
    """Parameters of `reverse_cross_entropy`."""

    log_zero: float = Field(
        -4.0, ge=-1e3, lt=0, description="What stands for the log of a label's probability 0."
    )


@loss(
    formula=r"-\sum_k p_k \log t_k = -A (1 - p_y),\quad p = \operatorname{softmax}(z),"
    r"\ \log 0 = A",
    source="Wang et al. 2019, arXiv:1908.06112, RCE, with its A",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="Bounded by -A; -A / 2 times the absolute error of the probabilities. "
        "Symmetric: its sum over all labels is constant, so uniform label noise moves no minimum.",
        use="As a term beside cross_entropy (symmetric_cross_entropy), or a normalized loss.",
        stability="Gradients are bounded by -A / 4 and vanish on sure wrong items: alone it is "
        "slow to learn many classes.",
        data="Wrong labels. A is -4 in the paper; code that clips labels at 1e-4 has -9.21.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def reverse_cross_entropy(
    logits: Logits, labels: IgnorableLabels, *, params: ReverseCrossEntropyParams
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy of the label under the prediction, with a number in place of log 0.

    Returns one value per item, in [0, -log_zero], 0 where ignored.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    return (-params.log_zero * miss_of(at_label(log_p, safe))).masked_fill(ignored, 0.0)
