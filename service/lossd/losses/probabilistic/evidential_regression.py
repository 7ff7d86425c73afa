"""Evidential regression: a distribution of distributions, in one pass."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Target
from lossd.losses._ops import log1p_square
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._gamma import log_gamma_ratio
from lossd.losses.probabilistic._scales import POSITIVE, Location


class EvidentialRegressionParams(LossParams):
    """Parameters of `evidential_regression`."""

    regularization: float = Field(
        0.01, ge=0, description="Weight of evidence times error: what being sure and wrong costs."
    )


@loss(
    formula=r"\frac{1}{2} \log \frac{\pi}{\nu} - \alpha \log \Omega + (\alpha + \frac{1}{2}) "
    r"\log(\nu (x - y)^2 + \Omega) + \log \frac{\Gamma(\alpha)}{\Gamma(\alpha + \frac{1}{2})} + "
    r"\lambda |x - y| (2 \nu + \alpha),\quad \Omega = 2 \beta (1 + \nu)",
    source="Amini et al. 2020, arXiv:1910.02600, eqs. 8 to 10",
    units="nats",
    card=Card(
        characteristics="student_t_nll with 2 alpha degrees of freedom, whose scale is split "
        "into noise, beta / (alpha - 1), and ignorance, that over nu.",
        use="Regression with both kinds of uncertainty from one network.",
        stability="Logarithms throughout; no difference of log-gamma functions is taken. Evidence "
        "is known only through the regulariser: the likelihood alone does not tell nu and beta "
        "apart.",
        data="As gaussian_nll; make nu, alpha - 1 and beta positive with softplus.",
    ),
    example=Example(
        {
            "location": [[2.5, 0.0]],
            "nu": [[1.0, 0.5]],
            "alpha": [[1.5, 2.0]],
            "beta": [[1.0, 0.25]],
            "target": [[3.0, -0.5]],
        }
    ),
)
def evidential_regression(
    location: Location,
    nu: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Evidence of the location, > 0.", gradient=True, low=POSITIVE),
    ],
    alpha: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Evidence of the variance, >= 1.", gradient=True, low=1),
    ],
    beta: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Scale of the variance, > 0.", gradient=True, low=POSITIVE),
    ],
    target: Target,
    *,
    params: EvidentialRegressionParams,
) -> Float[Tensor, "rows *rest"]:
    """Likelihood of the target with all variances and means weighed in, and the regulariser.

    One value per element. The subgradient of the regulariser at equality is 0.
    """
    size = (location - target).abs()
    omega = 2.0 * beta * (1.0 + nu)
    # (alpha + 1/2) log(nu d^2 + omega) - alpha log omega, with log omega taken out.
    tail = (alpha + 0.5) * log1p_square(size, omega / nu) + 0.5 * omega.log()
    constant = 0.5 * (math.log(math.pi) - torch.log(nu)) - log_gamma_ratio(alpha, 0.5)
    return constant + tail + params.regularization * size * (2.0 * nu + alpha)
