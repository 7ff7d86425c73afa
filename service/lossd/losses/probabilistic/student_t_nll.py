"""Negative log-likelihood of Student's t distribution."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Target
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._gamma import log_gamma_ratio
from lossd.losses.probabilistic._scales import (
    HALF_LOG_2_PI,
    POSITIVE,
    Location,
    LogScaleOfItem,
    ScaleOfItem,
    log_of_scale,
)


class StudentTNllParams(LossParams):
    """`student_t_nll` has no parameters."""


@loss(
    formula=r"\log \sigma - \log \frac{\Gamma(\frac{\nu + 1}{2})}{\Gamma(\frac{\nu}{2}) "
    r"\sqrt{\nu \pi}} + "
    r"\frac{\nu + 1}{2} \log\left(1 + \frac{1}{\nu} \left(\frac{x - y}{\sigma}\right)^2\right)",
    source="Student 1908, Biometrika 6, 1-25; as an output distribution Salinas et al. 2020, "
    "arXiv:1704.04110 (GluonTS StudentTOutput)",
    units="nats",
    exactly_one_of=(("scale", "log_scale"),),
    card=Card(
        characteristics="Between cauchy (1 degree of freedom) and gaussian_nll (many): outliers "
        "pull less, and how much less may be learned.",
        use="Forecasts with heavy tails; regression with uncertainty and outliers.",
        stability="Any size of location, scale or degrees of freedom: no difference of large "
        "numbers is taken. Not convex.",
        data="Heavy-tailed errors; with few rows fix the degrees of freedom.",
    ),
    example=Example(
        {
            "location": [[2.5, 0.0], [1.0, -1.0]],
            "target": [[3.0, -0.5], [1.0, 2.0]],
            "log_scale": [[0.0, -1.0], [0.5, 1.0]],
            "degrees_of_freedom": [[3.0, 5.0], [1.0, 30.0]],
        }
    ),
)
def student_t_nll(
    location: Location,
    target: Target,
    degrees_of_freedom: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Degrees of freedom, > 0.", gradient=True, low=POSITIVE),
    ],
    scale: ScaleOfItem | None = None,
    log_scale: LogScaleOfItem | None = None,
    *,
    params: StudentTNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the logarithm of the density at the target, one value per element."""
    nu = degrees_of_freedom
    log_sigma = log_of_scale(scale, log_scale)
    size = (location - target).abs()
    met = size == 0
    # By logarithms, for a scale may be so small that the difference over it is no number.
    log_square = 2.0 * (size.masked_fill(met, 1.0).log() - log_sigma) - nu.log()
    tail = 0.5 * (nu + 1.0) * softplus(log_square).masked_fill(met, 0.0)
    # sqrt(nu pi) is sqrt(2 pi) sqrt(nu / 2).
    constant = HALF_LOG_2_PI + 0.5 * torch.log(0.5 * nu) - log_gamma_ratio(0.5 * nu, 0.5)
    return constant + log_sigma + tail
