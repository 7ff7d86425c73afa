"""Negative log-likelihood of a log-normal distribution."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._scales import (
    HALF_LOG_2_PI,
    POSITIVE,
    LogScaleOfItem,
    ScaleOfItem,
    log_of_scale,
    scaled,
)


class LogNormalNllParams(LossParams):
    """`log_normal_nll` has no parameters."""


@loss(
    formula=r"\log y + \log \sigma + \frac{1}{2} \log 2 \pi + "
    r"\frac{1}{2} \left(\frac{\log y - x}{\sigma}\right)^2",
    source="Galton 1879, Proceedings of the Royal Society 29, 365-367; Johnson, Kotz and "
    "Balakrishnan 1994, Continuous Univariate Distributions 1, eq. 14.2",
    units="nats",
    exactly_one_of=(("scale", "log_scale"),),
    topics=("uncertainty", "counts"),
    card=Card(
        characteristics="gaussian_nll of the logarithm of the target, plus that logarithm: errors "
        "are factors.",
        use="Durations, prices, sizes: positive values whose spread grows with them.",
        stability="Give log_scale, which may be any number. The location is the mean of log y: the "
        "median of y is its exponential, the mean is larger.",
        data="Positive targets over several orders of magnitude; no zeros.",
    ),
    example=Example(
        {
            "location": [[1.0, 0.0], [0.5, -1.0]],
            "target": [[3.0, 0.5], [1.0, 2.0]],
            "log_scale": [[0.0, -1.0], [0.5, 1.0]],
        }
    ),
)
def log_normal_nll(
    location: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Mean of the logarithm of the target.", gradient=True)
    ],
    target: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="True values, > 0.", gradient=True, low=POSITIVE)
    ],
    scale: ScaleOfItem | None = None,
    log_scale: LogScaleOfItem | None = None,
    *,
    params: LogNormalNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the logarithm of the density at the target, one value per element."""
    log_sigma, log_y = log_of_scale(scale, log_scale), target.log()
    return HALF_LOG_2_PI + log_y + log_sigma + 0.5 * scaled(log_y - location, log_sigma).square()
