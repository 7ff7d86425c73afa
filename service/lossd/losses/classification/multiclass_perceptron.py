"""Multiclass perceptron: the best wrong class must not be ahead of the right one."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, Labels
from lossd.losses._ops import at_label
from lossd.losses._spec import Card, Example, LossParams


class MulticlassPerceptronParams(LossParams):
    """`multiclass_perceptron` has no parameters."""


@loss(
    formula=r"\max_j z_j - z_y",
    source="Collins 2002, EMNLP, 1-8, section 2; as a Fenchel-Young loss: Blondel, Martins and "
    "Niculae 2020, arXiv:1901.02324, table 1",
    units="score units",
    card=Card(
        characteristics="Convex, piecewise linear; a row that is right at all is done.",
        use="Online and structured prediction, where only the best class can be found.",
        stability="Exact for any finite scores. Equal scores are a minimum: there is no margin.",
        data="Separable classes, clean labels.",
    ),
    example=Example({"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2]}),
)
def multiclass_perceptron(
    logits: FiniteLogits, labels: Labels, *, params: MulticlassPerceptronParams
) -> Float[Tensor, "rows *spatial"]:
    """How far the best class is ahead of the right one.

    The first of tied wrong classes takes the gradient; where the right class is one of the best
    the subgradient is 0.

    Returns one value per item, >= 0.
    """
    right = at_label(logits, labels)
    ahead = at_label(logits, logits.argmax(1)) - right
    return torch.where(ahead > 0, ahead, 0.0)
