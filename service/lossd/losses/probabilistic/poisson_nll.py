"""Negative log-likelihood of a Poisson distribution."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.probabilistic._scales import Counts, LogRate, Rate


class PoissonNllParams(LossParams):
    """Parameters of `poisson_nll`."""

    full: bool = Field(False, description="Whether to add log y!, exactly, for any y.")


@loss(
    formula=r"\mu - y \log \mu\; (+ \log y!)",
    source="Poisson 1837; McCullagh and Nelder 1989, Generalized Linear Models, section 6.2",
    units="nats",
    exactly_one_of=(("rate", "log_rate"),),
    card=Card(
        characteristics="Its minimiser is the mean; the variance is taken to equal it.",
        use="Counts of independent events: clicks, photons, claims. negative_binomial_nll where "
        "they come in bursts.",
        stability="Give log_rate: convex, e^x - y x. With rate 0 and a count the value is +inf and "
        "has no gradient there; torch adds 1e-8 instead. full adds log Gamma(y + 1) itself, not "
        "Stirling's approximation.",
        data="Counts, or rates with exposure in log_rate; fractions are allowed.",
    ),
    example=Example({"log_rate": [[0.5, 0.0], [1.0, -1.0]], "target": [[3, 0], [1, 2]]}),
)
def poisson_nll(
    target: Counts,
    rate: Rate | None = None,
    log_rate: LogRate | None = None,
    *,
    params: PoissonNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Predicted mean less the target times its logarithm: one value per element.

    0 log 0 is 0. Without the constant the value may be negative.
    """
    # The whole likelihood in float64: of a large count's terms little is left.
    if log_rate is not None:
        exact = log_rate.double() if params.full else log_rate
        value = torch.exp(exact) - target * exact
    else:
        assert rate is not None
        none = rate == 0
        exact = rate.double() if params.full else rate
        value = exact - target * exact.masked_fill(none, 1.0).log()
        value = value.masked_fill(none & (target > 0), torch.inf)
    if not params.full:
        return value
    return (value + torch.lgamma(target.double() + 1.0)).to(target.dtype)
