"""Correntropy loss (C-loss): a margin seen through a Gaussian window."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Scores, SignLabels
from lossd.losses._spec import Card, Example, LossParams


class CorrentropyParams(LossParams):
    """Parameters of `correntropy`."""

    width: float = Field(0.5, ge=1e-2, le=1e2, description="sigma of the window, in score units.")


@loss(
    formula=r"\frac{1 - e^{-(1 - y s)^2 / (2 \sigma^2)}}{1 - e^{-1 / (2 \sigma^2)}}",
    source="Singh, Pokharel and Principe 2014, Pattern Recognition 47, 441-453, The C-loss "
    "function for pattern classification",
    units="unitless, 1 at a score of 0",
    card=Card(
        characteristics="Smooth and bounded: near the target a squared error, far away a count of "
        "errors. Not convex; being too right costs too.",
        use="Classifiers with scores in about [-1, 1], such as tanh outputs, on data with "
        "outliers.",
        stability="1 - exp is taken as -expm1. Beyond some widths from the target the gradient is "
        "gone: start with a large width.",
        data="Wrong labels or outliers.",
    ),
    example=Example({"scores": [0.5, -0.8, 0.3], "labels": [1, -1, -1]}),
)
def correntropy(
    scores: Scores, labels: SignLabels, *, params: CorrentropyParams
) -> Float[Tensor, "rows *rest"]:
    """One less the Gaussian of how far the score is from its label, scaled; one value per element.

    Returns values >= 0, at most 1 / (1 - exp(-1 / (2 width^2))).
    """
    scale = -1.0 / math.expm1(-0.5 / params.width**2)
    off = ((1.0 - labels * scores) / params.width).square()
    return -scale * torch.expm1(-0.5 * off)
