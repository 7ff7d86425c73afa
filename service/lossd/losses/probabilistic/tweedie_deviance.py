"""Tweedie deviance: variance grows as a power of the mean."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.probabilistic._deviance import LogMean, Mean, NotNegative, unit_deviance


class TweedieDevianceParams(LossParams):
    """Parameters of `tweedie_deviance`."""

    power: float = Field(
        1.5,
        ge=1,
        le=3,
        description="The variance grows as mean^power: 1 is Poisson, between 1 and 2 a Poisson "
        "number of gamma-distributed amounts, 2 gamma, 3 inverse Gaussian. 0 would be mse.",
    )


@loss(
    formula=r"2 \left(\frac{y^{2 - p}}{(1 - p)(2 - p)} - \frac{y \mu^{1 - p}}{1 - p} + "
    r"\frac{\mu^{2 - p}}{2 - p}\right)",
    source="Tweedie 1984, An index which distinguishes between some important exponential "
    "families; Jorgensen 1987, JRSS B 49, 127-162",
    units="units of the target to the power 2 - p",
    exactly_one_of=(("mean", "log_mean"),),
    card=Card(
        characteristics="Between poisson_deviance and gamma_deviance, both of which it is at the "
        "limits, to the last digit.",
        use="Insurance claims, rain, sales: a lump of zeros and a continuous rest.",
        stability="log_mean is the usual log link, with any number. Small differences and powers "
        "near 1 and 2 keep all digits. From power 2 on a target of 0 costs +inf, without a "
        "gradient.",
        data="Targets >= 0 with zeros (1 < power < 2), or positive ones.",
    ),
    example=Example({"target": [[3.0, 0.5], [1.0, 2.0]], "log_mean": [[1.0, 0.0], [0.5, -1.0]]}),
)
def tweedie_deviance(
    target: NotNegative,
    mean: Mean | None = None,
    log_mean: LogMean | None = None,
    *,
    params: TweedieDevianceParams,
) -> Float[Tensor, "rows *rest"]:
    """Twice the log-likelihood that the prediction lacks to a perfect one, per element."""
    return unit_deviance(target, mean, log_mean, params.power)
