"""Negative log-likelihood of a negative binomial distribution with more zeros than it has."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import softplus
from lossd.losses._spec import Arg, Card, Example, LossParams
from lossd.losses.probabilistic._counts import minus_log_negative_binomial
from lossd.losses.probabilistic._scales import POSITIVE, Counts, LogRate


class ZeroInflatedNegativeBinomialNllParams(LossParams):
    """`zero_inflated_negative_binomial_nll` has no parameters."""


@loss(
    formula=r"\begin{cases}-\log(\pi + (1 - \pi) \mathrm{NB}(0)) & y = 0\\ -\log(1 - \pi) - \log "
    r"\mathrm{NB}(y) & y > 0\end{cases}",
    source="Greene 1994, Accounting for Excess Zeros and Sample Selection; in single-cell data "
    "Lopez et al. 2018, Nature Methods 15, 1053-1058 (scVI)",
    units="nats",
    card=Card(
        characteristics="A share pi of rows is 0 whatever the mean; the others are counts with "
        "variance mu + mu^2 / r.",
        use="Counts most of which are 0 and the rest of which come in bursts: reads of genes in "
        "cells, claims.",
        stability="Logits of pi, the logarithm of the mean, and no difference of log-gamma "
        "functions. Zeros have two explanations; with few rows they are hard to tell apart.",
        data="Overdispersed counts with an excess of zeros.",
    ),
    example=Example(
        {
            "zero_logits": [[0.5, 0.0], [1.0, -1.0]],
            "log_mean": [[0.5, 0.0], [1.0, -1.0]],
            "total_count": [[2.0, 1.0], [0.5, 10.0]],
            "target": [[3, 0], [0, 2]],
        }
    ),
)
def zero_inflated_negative_binomial_nll(
    target: Counts,
    zero_logits: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="Log-odds of pi, that the count is 0 for another reason.", gradient=True),
    ],
    log_mean: LogRate,
    total_count: Annotated[
        Float[Tensor, "rows *rest"],
        Arg(doc="r > 0, one over the dispersion.", gradient=True, low=POSITIVE),
    ],
    *,
    params: ZeroInflatedNegativeBinomialNllParams,
) -> Float[Tensor, "rows *rest"]:
    """Minus the logarithm of the probability of the count: one value per element.

    Constants are included.
    """
    # In float64, for large counts are differences of larger numbers.
    y, z, r, log_mu = (x.double() for x in (target, zero_logits, total_count, log_mean))
    none = r * softplus(log_mu - r.log())  # minus the logarithm of NB(0)
    # log(pi + (1 - pi) NB(0)), both terms over 1 - pi.
    zero = softplus(z) - torch.logaddexp(z, -none)
    some = softplus(z) + minus_log_negative_binomial(y, r, log_mu)
    return torch.where(target == 0, zero, some).to(target.dtype)
