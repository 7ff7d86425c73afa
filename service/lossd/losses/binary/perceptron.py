"""Perceptron loss: a score pays only while it is on the wrong side of 0."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._ops import positive_part
from lossd.losses._spec import Card, Example, LossParams


class PerceptronParams(LossParams):
    """`perceptron` has no parameters."""


@loss(
    formula=r"\max(0,\; -y s)",
    source="Rosenblatt 1958, Psychological Review 65, 386-408; as a loss: Bottou 1998, "
    "Online Learning and Stochastic Approximations, section 2",
    units="score units",
    card=Card(
        characteristics="Convex, piecewise linear; it is content with any right side: no margin.",
        use="Online linear classifiers, and the cheapest gradients there are: -y or 0.",
        stability="Exact for any finite score. All scores at 0 is a minimum too: hinge has none.",
        data="Separable classes, clean labels.",
    ),
    example=Example({"scores": [0.5, 2.0, 1.5], "labels": [1, -1, -1]}),
)
def perceptron(
    scores: Scores, labels: SignLabels, *, params: PerceptronParams
) -> Float[Tensor, "rows *rest"]:
    """How far the score is on the wrong side of 0, one value per element, >= 0.

    The subgradient at 0 is 0. It is hinge with margin 0.
    """
    return positive_part(-labels * scores)
