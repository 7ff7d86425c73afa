"""Multiclass hinge of Crammer and Singer: the best wrong class must stay a margin behind."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label, positive_part
from lossd.losses._spec import Card, Example, LossParams


class MulticlassHingeParams(LossParams):
    """Parameters of `multiclass_hinge`."""

    margin: float = Field(1.0, ge=0, description="Lead wanted of the right class, in score units.")


@loss(
    formula=r"\max(0,\; m + \max_{j \ne y} z_j - z_y)",
    source="Crammer and Singer 2001, JMLR 2, 265-292",
    units="score units",
    card=Card(
        characteristics="Convex, piecewise linear; only the best wrong class gets a gradient.",
        use="Margin classifiers, and cheap gradients on small devices: no exponential.",
        stability="Exact for any finite scores. Scores are no probabilities.",
        data="Few to many classes, clean labels.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def multiclass_hinge(
    logits: FiniteLogits, labels: Labels, *, params: MulticlassHingeParams
) -> Float[Tensor, "rows *spatial"]:
    """How far the best wrong class is from staying a margin behind the right one.

    The first of tied wrong classes takes the gradient; at the kink the subgradient is 0. With a
    single class there is no wrong one and the value is 0.

    Returns one value per item, >= 0.
    """
    if logits.shape[1] == 1:
        return at_label(logits, labels) * 0.0
    wrong = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
    best_wrong = at_label(logits, wrong.argmax(1))
    return positive_part(params.margin + best_wrong - at_label(logits, labels))
