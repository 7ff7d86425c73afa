"""Normalized cross-entropy (NCE): a label's cross-entropy over that of all labels together."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import focal_of, log_probabilities, normalized


class NormalizedCrossEntropyParams(IgnoringParams):
    """Parameters of `normalized_cross_entropy`."""


@loss(
    formula=r"\frac{\log p_y}{\sum_k \log p_k},\quad p = \operatorname{softmax}(z)",
    source="Ma et al. 2020, arXiv:2006.13554, NCE, section 3",
    units="unitless, in [0, 1]",
    weights=counted_item,
    card=Card(
        characteristics="Bounded by 1; over all labels of an item it adds up to 1, so uniform "
        "label noise moves no minimum.",
        use="As the active term of active_passive: alone it underfits.",
        stability="Stable for any finite logits. The gradient shrinks as the logits of all the "
        "other classes fall, whether or not the label is right.",
        data="Many wrong labels. Impossible classes are left out of the sum.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def normalized_cross_entropy(
    logits: Logits, labels: IgnorableLabels, *, params: NormalizedCrossEntropyParams
) -> Float[Tensor, "rows *spatial"]:
    """The share of the label in the cross-entropies of all possible labels.

    Returns one value per item, in [0, 1], 0 where ignored or where only one class is possible; 1,
    with no gradient, where the label's logit is -inf.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    return normalized(focal_of(0.0), log_p, safe).masked_fill(ignored, 0.0)
