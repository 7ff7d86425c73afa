"""Negative log-likelihood of a normal distribution."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import Target
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._scales import (
    HALF_LOG_2_PI,
    POSITIVE,
    Location,
    log_of_scale,
    scaled,
)


class GaussianNllParams(LossParams):
    """Parameters of `gaussian_nll`."""

    full: bool = Field(False, description="Whether to add the constant log(2 pi) / 2.")
    beta: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Exponent of the variance that the value is multiplied by, as a constant "
        "(beta-NLL): 0 is the likelihood, 1 gives the location the gradient of mse.",
    )


@loss(
    formula=r"\frac{1}{2} \left(\log v + \frac{(x - y)^2}{v}\right) \lfloor v^{\beta} \rfloor",
    source="Nix and Weigend 1994, Estimating the mean and variance of the target probability "
    "distribution; beta: Seitzer et al. 2022, arXiv:2203.09168, eq. 5",
    units="nats",
    exactly_one_of=(("variance", "log_variance"),),
    card=Card(
        characteristics="mse with a variance of its own per item, which also costs: the model may "
        "admit that it does not know.",
        use="Regression with uncertainty, per item; beta 0.5 where the mean is learned badly.",
        stability="Give log_variance, which may be any number; variance must be > 0 and is not "
        "clamped. A row that is met pulls its variance to 0, and the value falls without bound. "
        "With beta the value is no longer what the gradient is of.",
        data="Errors without gross outliers; see student_t_nll.",
    ),
    example=Example(
        {
            "location": [[2.5, 0.0], [1.0, -1.0]],
            "target": [[3.0, -0.5], [1.0, 2.0]],
            "log_variance": [[0.0, -1.0], [0.5, 1.0]],
        }
    ),
)
def gaussian_nll(
    location: Location,
    target: Target,
    variance: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Predicted variance, > 0.", gradient=True, low=POSITIVE),
    ]
    | None = None,
    log_variance: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Natural logarithm of the predicted variance.", gradient=True),
    ]
    | None = None,
    *,
    params: GaussianNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the logarithm of the density at the target, less a constant: one value per element."""
    log_v = log_of_scale(variance, log_variance)
    value = 0.5 * (log_v + scaled(location - target, 0.5 * log_v).square())
    if params.full:
        value = value + HALF_LOG_2_PI
    if params.beta:
        value = value * torch.exp(params.beta * log_v.detach())
    return value
