"""Savage loss: the square of the probability of the wrong side."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._spec import Card, Example, LossParams


class SavageParams(LossParams):
    """`savage` has no parameters."""


@loss(
    formula=r"\frac{1}{(1 + e^{y s})^2}",
    source="Masnadi-Shirazi and Vasconcelos 2008, NIPS 21, On the design of loss functions for "
    "classification",
    units="squared probability",
    card=Card(
        characteristics="Bounded by 1, not convex; a proper score of sigmoid probabilities: half "
        "of the Brier score.",
        use="Boosting and linear classifiers on data with outliers (SavageBoost).",
        stability="Stable for any finite score. An item far on the wrong side loses its gradient.",
        data="Some wrong labels.",
    ),
    example=Example({"scores": [0.5, -2.0, 1.5], "labels": [1, -1, -1]}),
)
def savage(
    scores: Scores, labels: SignLabels, *, params: SavageParams
) -> Float[Tensor, "rows *rest"]:
    """Square of the sigmoid of how far the score is on the wrong side, one value per element."""
    return torch.sigmoid(-labels * scores).square()
