"""Negative log-likelihood of a negative binomial distribution."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._counts import minus_log_negative_binomial
from lossd.losses.probabilistic._scales import POSITIVE, Counts, LogRate, log_of_scale


class NegativeBinomialNllParams(LossParams):
    """`negative_binomial_nll` has no parameters."""


@loss(
    formula=r"-\log \frac{\Gamma(y + r)}{\Gamma(r)\, y!} + r \log\left(1 + \frac{\mu}{r}\right) + "
    r"y \log\left(1 + \frac{r}{\mu}\right)",
    source="Hilbe 2011, Negative Binomial Regression, eq. 8.7; DeepAR: Salinas et al. 2020, "
    "arXiv:1704.04110, section 3.1, with alpha = 1 / r",
    units="nats",
    exactly_one_of=(("mean", "log_mean"),),
    topics=("counts",),
    card=Card(
        characteristics="Counts with variance mu + mu^2 / r; poisson_nll as r grows.",
        use="Counts that come in bursts: demand, reads of a gene, visits.",
        stability="Logarithms throughout; no difference of log-gamma functions is taken, so r may "
        "be 1e-6 or 1e8.",
        data="Overdispersed counts; mean in log_mean, r as total_count.",
    ),
    example=Example(
        {
            "log_mean": [[0.5, 0.0], [1.0, -1.0]],
            "total_count": [[2.0, 1.0], [0.5, 10.0]],
            "target": [[3, 0], [1, 2]],
        }
    ),
)
def negative_binomial_nll(
    target: Counts,
    total_count: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="r > 0, one over the dispersion.", gradient=True, low=POSITIVE),
    ],
    mean: Annotated[
        Float[Tensor, "rows *rest"], Arg(doc="Predicted mean, > 0.", gradient=True, low=POSITIVE)
    ]
    | None = None,
    log_mean: LogRate | None = None,
    *,
    params: NegativeBinomialNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the logarithm of the probability of the count: one value per element.

    Constants are included.
    """
    # In float64, for large counts are differences of larger numbers.
    log_mu = log_of_scale(mean, log_mean).double()
    value = minus_log_negative_binomial(target.double(), total_count.double(), log_mu)
    return value.to(target.dtype)
