"""Influence-balanced loss: items that already move the decision boundary count less."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ignoring import IgnoringParams, counted_item
from lossd.losses._inputs import ClassWeights, IgnorableLabels, Logits
from lossd.losses._ops import at_label, is_ignored, log_softmax_counted, times_log
from lossd.losses._spec import Arg, Card, Example


class InfluenceBalancedParams(IgnoringParams):
    """Parameters of `influence_balanced`."""

    alpha: float = Field(1.0, ge=0, le=1e6, description="Factor of all, unitless.")
    eps: float = Field(
        1e-3, gt=0, le=1e3, description="Added to the influence, so that its inverse is bounded."
    )
    weight_gradient: Literal["detached", "full"] = Field(
        "full", description="Whether the gradient flows through the influence too."
    )


@loss(
    formula=r"\frac{\alpha\, w_y}{\lVert p - e_y \rVert_1 \lVert h \rVert_1 + \epsilon}"
    r"(-\log p_y),\quad \lVert p - e_y \rVert_1 = 2 (1 - p_y)",
    source="Park et al. 2021, arXiv:2110.02444, the influence-balanced loss",
    units="nats",
    weights=counted_item,
    card=Card(
        characteristics="cross_entropy over the size of the gradient that the item has in the last "
        "layer. With the influence detached every item pulls about alike.",
        use="Fine-tuning after a phase of cross_entropy on unequal classes, with class_weights of "
        "1 / n over their sum.",
        stability="The weight is at most alpha / eps times the class weight; alpha is 10000 and "
        "the gradient full in the authors' code.",
        data="Clean labels. Sure items keep a pull, so wrong sure labels do no extra harm.",
    ),
    example=Example(
        {
            "logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]],
            "labels": [0, 2],
            "feature_norms": [3.5, 2.0],
        }
    ),
)
def influence_balanced(
    logits: Logits,
    labels: IgnorableLabels,
    feature_norms: Annotated[
        Float[Tensor, "rows *spatial"],
        Arg(doc="Sum of absolute values of the last layer's input, 1 if absent.", low=0),
    ]
    | None = None,
    class_weights: ClassWeights | None = None,
    *,
    params: InfluenceBalancedParams,
) -> Float[Tensor, "rows *spatial"]:
    """Cross-entropy over an item's influence on the last layer.

    Class weights are factors and no part of the denominator. Returns one value per item, in nats,
    >= 0, 0 where ignored; +inf where the label's logit is -inf.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    # In float64: alpha / eps magnifies the rounding of a log p near 0.
    log_p = at_label(log_softmax_counted(logits.double(), ignored), safe)
    influence = _influence(log_p, feature_norms)
    if params.weight_gradient == "detached":
        influence = influence.detach()
    factor = params.alpha / (influence + params.eps)
    if class_weights is not None:
        factor = factor * class_weights[safe]
    return -times_log(factor, log_p).masked_fill(ignored, 0.0).to(logits.dtype)


def _influence(log_p: Tensor, feature_norms: Tensor | None) -> Tensor:
    # A factor that has its own gradient must not meet that of an infinite logarithm.
    impossible = log_p == -torch.inf
    miss = -2.0 * torch.expm1(log_p.masked_fill(impossible, 0.0)).masked_fill(impossible, -1.0)
    return miss if feature_norms is None else miss * feature_norms
