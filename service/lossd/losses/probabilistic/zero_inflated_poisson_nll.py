"""Negative log-likelihood of a Poisson distribution with more zeros than it would have."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._scales import Counts, LogRate


class ZeroInflatedPoissonNllParams(LossParams):
    """`zero_inflated_poisson_nll` has no parameters."""


@loss(
    formula=r"\begin{cases}-\log(\pi + (1 - \pi) e^{-\mu}) & y = 0\\ -\log(1 - \pi) + \mu - "
    r"y \log \mu + \log y! & y > 0\end{cases}",
    source="Lambert 1992, Technometrics 34, 1-14, eq. 1",
    units="nats",
    card=Card(
        characteristics="A share pi of rows is 0 whatever the mean; the others are Poisson.",
        use="Counts most of which are 0 for a reason of their own: claims, defects, species.",
        stability="Logits of pi and the logarithm of the mean, so that no share and no mean is too "
        "small. Where all rows are 0, either explanation does.",
        data="Counts with an excess of zeros.",
    ),
    example=Example(
        {
            "zero_logits": [[0.5, 0.0], [1.0, -1.0]],
            "log_rate": [[0.5, 0.0], [1.0, -1.0]],
            "target": [[3, 0], [0, 2]],
        }
    ),
)
def zero_inflated_poisson_nll(
    target: Counts,
    zero_logits: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Log-odds of pi, that the count is 0 for another reason.", gradient=True),
    ],
    log_rate: LogRate,
    *,
    params: ZeroInflatedPoissonNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the logarithm of the probability of the count: one value per element.

    Constants are included.
    """
    # In float64, for large counts are differences of larger numbers.
    y, z, log_mu = target.double(), zero_logits.double(), log_rate.double()
    rate = torch.exp(log_mu)
    # log(pi + (1 - pi) e^-mu), both terms over 1 - pi.
    zero = softplus(z) - torch.logaddexp(z, -rate)
    some = softplus(z) + rate - y * log_mu + torch.lgamma(y + 1.0)
    return torch.where(target == 0, zero, some).to(target.dtype)
