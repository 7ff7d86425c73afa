"""Mixtures of distributions, by logarithms."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg

PLogits = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(
        doc="Raw scores of p, or its log-probabilities: softmax leaves these as they are. -inf "
        "marks a class that cannot be.",
        gradient=True,
        minus_infinity=True,
    ),
]
QLogits = Annotated[
    Float[Tensor, "rows classes *spatial"],
    Arg(
        doc="Raw scores of q, or its log-probabilities; -inf marks a class that cannot be.",
        gradient=True,
        minus_infinity=True,
    ),
]


def mixed_divergence(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """beta KL(p || m) + (1 - beta) KL(q || m) with m = beta p + (1 - beta) q, over axis 1."""
    from_p = _divergence_of_mixture(log_p, log_q, 1.0 - beta)
    return beta * from_p + (1.0 - beta) * _divergence_of_mixture(log_q, log_p, beta)


def _divergence_of_mixture(log_p: Tensor, log_q: Tensor, share: float) -> Tensor:
    """KL(p || m) where m has that share of q; 0 where p = 0. Exactly 0 where p = q."""
    log_ratio = (log_q - log_p).masked_fill(log_p == -torch.inf, 0.0)
    more = log_ratio > 0
    low, high = log_ratio.masked_fill(more, 0.0), log_ratio.masked_fill(~more, 0.0)
    # log(1 - share + share q / p), in the form where the power is at most 1.
    low_log = torch.log1p(share * torch.expm1(low))
    high_log = high + torch.log1p((1.0 - share) * torch.expm1(-high))
    return -(log_p.exp() * torch.where(more, high_log, low_log)).sum(1)
