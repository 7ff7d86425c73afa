"""The negative binomial distribution, that two losses share."""

import torch
from torch import Tensor

from lossd.losses._ops import softplus
from lossd.losses.probabilistic._gamma import log_gamma_ratio


def minus_log_negative_binomial(y: Tensor, total_count: Tensor, log_mean: Tensor) -> Tensor:
    """Minus the logarithm of a count's probability. For float64: terms of large counts cancel."""
    log_odds = log_mean - total_count.log()
    ways = log_gamma_ratio(total_count, y) - torch.lgamma(y + 1.0)
    return total_count * softplus(log_odds) + y * softplus(-log_odds) - ways
