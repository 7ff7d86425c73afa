"""Unit deviances of the Tweedie family, without cancellation where prediction and target are near.

With u = log(y / m), s = 2 - power and E(t) = (e^t - 1) / t the deviance is
2 m^s u^2 (E(u) - E(s u)) / (u - s u): a divided difference, which near u = 0 is a series in u.
"""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from lossd.losses._spec import Arg
from lossd.losses.probabilistic._scales import POSITIVE

_NEAR = 0.5
_TERMS = 14  # at |u| <= 1/2 the rest is below float64's rounding

Mean = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="Predicted mean, > 0.", gradient=True, low=POSITIVE),
]
LogMean = Annotated[
    Float[Tensor, "rows *rest"],
    Arg(doc="Natural logarithm of the predicted mean.", gradient=True),
]
NotNegative = Annotated[Float[Tensor, "rows *rest"], Arg(doc="True values, >= 0.", low=0)]


def unit_deviance(
    target: Tensor, mean: Tensor | None, log_mean: Tensor | None, power: float
) -> Tensor:
    """The deviance of each element, for a power in [1, 3].

    From 2 on a target of 0 costs +inf, without a gradient.
    """
    zero = target == 0
    y = target.masked_fill(zero, 1.0)
    if log_mean is None:
        assert mean is not None
        log_mean = mean.log()
        close = (y - mean).abs() < _NEAR * mean
        near_mean, near_y = mean.masked_fill(~close, 1.0), y.masked_fill(~close, 1.0)
        u = torch.where(close, torch.log1p((near_y - near_mean) / near_mean), y.log() - log_mean)
    else:
        u = y.log() - log_mean
    near = (u.detach().abs() < _NEAR) & ~zero
    series = _near(u.masked_fill(~near, 0.0), log_mean.masked_fill(~near, 0.0), power)
    return 2.0 * torch.where(near, series, _far(y, zero, log_mean, power))


def _near(u: Tensor, log_mean: Tensor, power: float) -> Tensor:
    s = 2.0 - power
    value = torch.zeros_like(u)
    for k in range(_TERMS, 0, -1):
        value = value * u + sum(s**j for j in range(k)) / math.factorial(k + 1)
    return torch.exp(s * log_mean) * u.square() * value


def _far(y: Tensor, zero: Tensor, log_mean: Tensor, power: float) -> Tensor:
    """Both forms are exact at their own limit, power 1 and power 2."""
    q, s = 1.0 - power, 2.0 - power
    of_mean = torch.exp(s * log_mean)
    of_target = (y * torch.exp(q * log_mean)).masked_fill(zero, 0.0)
    if power < 1.5:  # y (y^q - m^q) / q, y m^q and m^s, over 1 + q
        growth = (y * _box_cox_difference(y.log(), log_mean, q)).masked_fill(zero, 0.0)
        return (growth - of_target + of_mean) / (1.0 + q)
    growth = _box_cox_difference(y.log(), log_mean, s)
    if s > 0:
        growth = torch.where(zero, -of_mean / s, growth)
    value = (of_target - of_mean - growth) / (1.0 - s)
    return value if s > 0 else value.masked_fill(zero, torch.inf)


def _box_cox_difference(log_y: Tensor, log_mean: Tensor, exponent: float) -> Tensor:
    """(y^e - m^e) / e, and its limit log y - log m."""
    if exponent == 0.0:
        return log_y - log_mean
    product = exponent * (log_y - log_mean)
    small = product.detach().abs() < 1.0
    base = torch.exp(exponent * log_mean.masked_fill(~small, 0.0))
    close = base * torch.expm1(product.masked_fill(~small, 0.0))
    apart = torch.exp(exponent * log_y) - torch.exp(exponent * log_mean.masked_fill(small, 0.0))
    return torch.where(small, close, apart) / exponent
