"""Multiclass hinge of Weston and Watkins: every wrong class must stay a margin behind."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import ClassWeights, FiniteLogits, Labels
from lossd.losses._ops import at_label, one_hot, positive_part
from lossd.losses._spec import Card, Example, LossParams


class MultiMarginParams(LossParams):
    """Parameters of `multi_margin`."""

    margin: float = Field(1.0, ge=0, description="Lead wanted of the right class, in score units.")
    p: Literal[1, 2] = Field(1, description="Power of each violation.")
    divide_by_classes: bool = Field(
        True, description="Divide by the number of classes, as torch does; the paper does not."
    )


@loss(
    formula=r"\frac{w_y}{C} \sum_{j \ne y} \max(0,\; m + z_j - z_y)^p",
    source="Weston and Watkins 1999, ESANN, 219-224",
    units="score units to the power p",
    card=Card(
        characteristics="Convex; every class that comes too near gets a gradient.",
        use="Margin classifiers where all wrong classes matter, not only the best one.",
        stability="Exact for finite scores; with p = 2 scores above 1e19 overflow float32.",
        data="Few to many classes, clean labels.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def multi_margin(
    logits: FiniteLogits,
    labels: Labels,
    class_weights: ClassWeights | None = None,
    *,
    params: MultiMarginParams,
) -> Float[Tensor, "rows *spatial"]:
    """Sum over the wrong classes of how far each is from staying a margin behind.

    The subgradient at a kink is 0. The mean divides by the number of items, also under class
    weights, as torch does.

    Returns one value per item, >= 0.
    """
    lead = params.margin + logits - at_label(logits, labels).unsqueeze(1)
    violation = positive_part(lead) * (1.0 - one_hot(labels, logits.detach()))
    value = (violation if params.p == 1 else violation.square()).sum(1)
    if params.divide_by_classes:
        value = value / logits.shape[1]
    return value if class_weights is None else value * class_weights[labels]
