"""Soft margin loss: the logistic loss of a score and a sign."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._ops import softplus
from lossd.losses._spec import Card, Example, LossParams


class SoftMarginParams(LossParams):
    """`soft_margin` has no parameters."""


@loss(
    formula=r"\log(1 + e^{-y s})",
    source="Friedman, Hastie and Tibshirani 2000, Annals of Statistics 28, 337-407, section 4",
    units="nats",
    card=Card(
        characteristics="Convex, smooth, grows linearly with a violation; a proper scoring rule.",
        use="Binary classification with labels -1 and 1; with labels in [0, 1] it is "
        "binary_cross_entropy_with_logits.",
        stability="Stable for any finite score. torch's soft_margin_loss overflows below -88.",
        data="Separable or not; outliers pull with a gradient of at most 1.",
    ),
    example=Example({"scores": [0.5, -2.0, 1.5], "labels": [1, -1, -1]}),
)
def soft_margin(
    scores: Scores, labels: SignLabels, *, params: SoftMarginParams
) -> Float[Tensor, "rows *rest"]:
    """Minus the log of the probability of the label's side, one value per element, in nats, > 0."""
    return softplus(-labels * scores)
