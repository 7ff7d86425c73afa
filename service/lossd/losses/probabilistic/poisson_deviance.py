"""Poisson deviance: what a predicted mean costs beyond a perfect one."""

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.probabilistic._deviance import LogMean, Mean, NotNegative, unit_deviance


class PoissonDevianceParams(LossParams):
    """`poisson_deviance` has no parameters."""


@loss(
    formula=r"2 \left(y \log \frac{y}{\mu} - y + \mu\right)",
    source="McCullagh and Nelder 1989, Generalized Linear Models, section 2.3",
    units="nats, doubled",
    exactly_one_of=(("mean", "log_mean"),),
    card=Card(
        characteristics="Twice poisson_nll, less what a perfect prediction would cost: 0 where the "
        "target is met. I-divergence, doubled.",
        use="Counts and rates, gradient boosting, reports: its scale means something.",
        stability="log_mean is the usual log link, with any number. Small differences keep all "
        "digits. Targets of 0 are fine.",
        data="Counts; variance near the mean.",
    ),
    example=Example({"target": [[3.0, 0.5], [1.0, 2.0]], "log_mean": [[1.0, 0.0], [0.5, -1.0]]}),
)
def poisson_deviance(
    target: NotNegative,
    mean: Mean | None = None,
    log_mean: LogMean | None = None,
    *,
    params: PoissonDevianceParams,
) -> Float[Tensor, "rows *rest"]:
    """Twice the log-likelihood that the prediction lacks to a perfect one, per element."""
    return unit_deviance(target, mean, log_mean, 1.0)
