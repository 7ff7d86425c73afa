"""Renyi divergence of order alpha."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import kl_divergence_of, log_sum_exp
from lossd.losses._spec import Card, Example, LossParams
from lossd.losses.distribution._mixtures import PLogits, QLogits


class RenyiDivergenceParams(LossParams):
    """Parameters of `renyi_divergence`."""

    alpha: float = Field(
        0.5, ge=0.01, le=100, description="The order. 1 is kl_divergence, 0.5 is symmetric."
    )


@loss(
    formula=r"\frac{1}{\alpha - 1} \log \sum_k p_k^{\alpha} q_k^{1 - \alpha}",
    source="Renyi 1961, On measures of entropy and information, Berkeley Symposium 4, eq. 3.3; "
    "van Erven and Harremoes 2014, arXiv:1206.2459, eq. 1",
    units="nats",
    card=Card(
        characteristics="0 only for equal distributions; grows with alpha, from what p misses of "
        "q's support to the largest log ratio.",
        use="Variational bounds, privacy accounting, between the divergences that cover modes "
        "and those that settle on one.",
        stability="Log-sum-exp, and near alpha 1 or near equality a form in which nothing "
        "cancels. +inf, without a gradient, where alpha >= 1 and q = 0 < p, or supports are "
        "disjoint.",
        data="Two distributions over the same classes.",
    ),
    example=Example({"p_logits": [[2.0, 0.5, -1.0]], "q_logits": [[0.1, 1.2, 0.3]]}),
)
def renyi_divergence(
    p_logits: PLogits, q_logits: QLogits, *, params: RenyiDivergenceParams
) -> Float[Tensor, "rows *spatial"]:
    """Logarithm of the mean power of the ratio p / q, over its exponent: one value per item."""
    log_p, log_q = torch.log_softmax(p_logits, 1), torch.log_softmax(q_logits, 1)
    excess = params.alpha - 1.0
    if excess == 0.0:
        return kl_divergence_of(log_p, log_q)
    p_only, q_only = log_q == -torch.inf, log_p == -torch.inf
    outside = p_only | q_only  # terms of power 0, unless the divergence is infinite
    infinite = outside.all(1)
    if excess > 0:
        infinite = infinite | (p_only & ~q_only).any(1)
    log_ratio = (log_p - log_q).masked_fill(outside, 0.0)
    exponent = excess * log_ratio
    near = (exponent.detach().abs().amax(1) < 1.0) & ~outside.any(1)
    # sum p (p / q)^(alpha - 1) - 1, of which a small part of 1 is left near equality.
    small = exponent.masked_fill(~near.unsqueeze(1), 0.0)
    gain = (log_p.exp() * torch.expm1(small)).sum(1)
    terms = (log_p + exponent).masked_fill(outside, -torch.inf)
    terms = terms.masked_fill((near | infinite).unsqueeze(1), 0.0)
    value = torch.where(near, torch.log1p(gain), log_sum_exp(terms, 1)) / excess
    return value.masked_fill(infinite, torch.inf)
