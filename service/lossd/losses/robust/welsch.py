"""Welsch (Leclerc) loss: bounded, and flat where the difference is large."""

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Prediction, Target
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.robust._residuals import Scale


class WelschParams(LossParams):
    """Parameters of `welsch`."""

    scale: Scale = 1.0


@loss(
    formula=r"1 - \exp\left(-\frac{1}{2} \left(\frac{x - y}{c}\right)^2\right)",
    source="Dennis and Welsch 1978, Communications in Statistics B 7, 345-359; Barron 2019, "
    "arXiv:1701.03077, eq. 6",
    units="none, in [0, 1]",
    card=Card(
        characteristics="Bounded by 1, not convex; rows a few scales away count as outliers and "
        "have no pull.",
        use="Registration, tracking, correntropy: where outliers must not matter at all.",
        stability="The gradient is largest at one scale and vanishes as a Gaussian: start near the "
        "solution, or with a large scale that shrinks. Small differences keep their digits.",
        data="Gross outliers; scale near the size of an ordinary error.",
    ),
    example=Example({"prediction": [[2.5, 0.0], [1.0, -1.0]], "target": [[3.0, -0.5], [1.0, 2.0]]}),
)
def welsch(
    prediction: Prediction, target: Target, *, params: WelschParams
) -> Float[Tensor, "rows *rest"]:
    """One less a Gaussian of the difference, in scales: one value per element, in [0, 1].

    `general_robust` with alpha -inf. About d^2 / 2 near 0.
    """
    z = (prediction - target) / params.scale
    return -torch.expm1(-0.5 * z.square())
