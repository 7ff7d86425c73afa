"""Gamma deviance: relative errors of positive values."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.probabilistic._deviance import LogMean, Mean, NotNegative, unit_deviance


class GammaDevianceParams(LossParams):
    """`gamma_deviance` has no parameters."""


@loss(
    formula=r"2 \left(\log \frac{\mu}{y} + \frac{y}{\mu} - 1\right)",
    source="McCullagh and Nelder 1989, Generalized Linear Models, section 2.3",
    units="nats, doubled",
    exactly_one_of=(("mean", "log_mean"),),
    card=Card(
        characteristics="Depends on the ratio of target and prediction alone; too low is dearer "
        "than too high. Itakura-Saito distance, doubled.",
        use="Durations, costs, power spectra: positive values whose spread grows with them.",
        stability="log_mean is the usual log link, with any number. Small differences keep all "
        "digits. A target of 0 costs +inf, without a gradient.",
        data="Positive targets; constant relative spread.",
    ),
    example=Example({"target": [[3.0, 0.5], [1.0, 2.0]], "log_mean": [[1.0, 0.0], [0.5, -1.0]]}),
)
def gamma_deviance(
    target: NotNegative,
    mean: Mean | None = None,
    log_mean: LogMean | None = None,
    *,
    params: GammaDevianceParams,
) -> Float[Tensor, "rows *rest"]:
    """Twice the log-likelihood that the prediction lacks to a perfect one, per element."""
    return unit_deviance(target, mean, log_mean, 2.0)
