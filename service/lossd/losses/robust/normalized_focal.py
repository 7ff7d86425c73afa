"""Normalized focal loss (NFL): a label's focal loss over that of all labels together."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import IgnorableLabels, Logits
from lossd.losses._spec import Card, Example
from lossd.losses.robust._terms import focal_of, log_probabilities, normalized


class NormalizedFocalParams(IgnoringParams):
    """Parameters of `normalized_focal`."""

    gamma: float = Field(
        0.5, ge=0, le=16, description="Focus, unitless. 0 is normalized_cross_entropy."
    )


@loss(
    formula=r"\frac{(1 - p_y)^\gamma \log p_y}{\sum_k (1 - p_k)^\gamma \log p_k},"
    r"\quad p = \operatorname{softmax}(z)",
    source="Ma et al. 2020, arXiv:2006.13554, NFL, section 3",
    units="unitless, in [0, 1]",
    weights=counted_item,
    card=Card(
        characteristics="Bounded by 1; over all labels of an item it adds up to 1, so uniform "
        "label noise moves no minimum.",
        use="As the active term of active_passive: alone it underfits.",
        stability="1 - p is taken as -expm1(log p). The gradient flows through the focal "
        "factors too (the authors' code holds them), and shrinks as the logits of all the other "
        "classes fall.",
        data="Many wrong labels. Impossible classes are left out of the sum.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def normalized_focal(
    logits: Logits, labels: IgnorableLabels, *, params: NormalizedFocalParams
) -> Float[Tensor, "rows *spatial"]:
    """The share of the label in the focal losses of all possible labels.

    Returns one value per item, in [0, 1], 0 where ignored or where only one class is possible; 1,
    with no gradient, where the label's logit is -inf. For gamma < 1 the gradient through a class
    whose p rounds to 1 is 0.
    """
    log_p, safe, ignored = log_probabilities(logits, labels, params.ignore_index)
    return normalized(focal_of(params.gamma), log_p, safe).masked_fill(ignored, 0.0)
