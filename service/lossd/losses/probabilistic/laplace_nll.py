"""Negative log-likelihood of a Laplace distribution."""

import math

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Target
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.probabilistic._scales import (
    Location,
    LogScaleOfItem,
    ScaleOfItem,
    log_of_scale,
    scaled,
)


class LaplaceNllParams(LossParams):
    """`laplace_nll` has no parameters."""


@loss(
    formula=r"\log(2 b) + \frac{|x - y|}{b}",
    source="Laplace 1774; Kendall and Gal 2017, arXiv:1703.04977, section 4.1 (L1 form)",
    units="nats",
    exactly_one_of=(("scale", "log_scale"),),
    card=Card(
        characteristics="l1 with a scale of its own per item: the model may admit that it does not "
        "know.",
        use="Regression with uncertainty and outliers; with a constant scale it is l1.",
        stability="The logarithm of the scale is what counts: give log_scale, which may be any "
        "number. A row that is met pulls its scale to 0, and the value falls without bound.",
        data="Errors with tails heavier than Gaussian.",
    ),
    example=Example(
        {
            "location": [[2.5, 0.0], [1.0, -1.0]],
            "target": [[3.0, -0.5], [1.0, 2.0]],
            "log_scale": [[0.0, -1.0], [0.5, 1.0]],
        }
    ),
)
def laplace_nll(
    location: Location,
    target: Target,
    scale: ScaleOfItem | None = None,
    log_scale: LogScaleOfItem | None = None,
    *,
    params: LaplaceNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the logarithm of the density at the target, one value per element.

    The subgradient of the location at equality is 0.
    """
    log_b = log_of_scale(scale, log_scale)
    return math.log(2.0) + log_b + scaled((location - target).abs(), log_b)
