"""Exponential loss: what AdaBoost minimises."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._spec import Card, Example, LossParams


class ExponentialParams(LossParams):
    """`exponential` has no parameters."""


@loss(
    formula=r"e^{-y s}",
    source="Friedman, Hastie and Tibshirani 2000, Annals of Statistics 28, 337-407, section 4",
    units="unitless",
    card=Card(
        characteristics="Convex, smooth; a violation costs exponentially. Its minimiser is half "
        "the log-odds.",
        use="Boosting, and to reproduce AdaBoost; soft_margin where labels may be wrong.",
        stability="A score 88 on the wrong side is beyond float32, and 709 beyond float64: the "
        "value and the gradient are then infinite.",
        data="Clean labels: one gross error outweighs everything else.",
    ),
    example=Example({"scores": [0.5, -2.0, 1.5], "labels": [1, -1, -1]}),
)
def exponential(
    scores: Scores, labels: SignLabels, *, params: ExponentialParams
) -> Float[Tensor, "rows *rest"]:
    """e to the power of how far the score is on the wrong side, one value per element, >= 0."""
    return torch.exp(-labels * scores)
