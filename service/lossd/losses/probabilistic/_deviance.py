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
    """The formula itself, or near power 1 or 2, which it divides by, its limit's form."""
    q, s = 1.0 - power, 2.0 - power
    product = (q if power < 1.5 else s) * (y.log() - log_mean)
    small = (product.detach().abs() < 1.0) & ~zero
    value = _near_limit(y, product.masked_fill(~small, 0.0), log_mean.masked_fill(~small, 0.0), q)
    if q and s:
        apart = log_mean.masked_fill(small | zero, 0.0)
        own = torch.exp(s * y.log()) / (q * s)
        if s > 0:
            whole = own - y * torch.exp(q * apart) / q + torch.exp(s * apart) / s
        else:  # the mean's terms have two signs, and may both be infinite
            whole = own + torch.exp(s * apart) * (1.0 / s - torch.exp(y.log() - apart) / q)
        value = torch.where(small, value, whole)
    if s <= 0:
        return value.masked_fill(zero, torch.inf)
    return torch.where(zero, torch.exp(s * log_mean.masked_fill(~zero, 0.0)) / s, value)


def _near_limit(y: Tensor, product: Tensor, log_mean: Tensor, q: float) -> Tensor:
    """Where e log(y / m) is small; e is q = 1 - power or s = 2 - power, the nearer to 0."""
    s = 1.0 + q
    of_target, of_mean = y * torch.exp(q * log_mean), torch.exp(s * log_mean)
    if s > 0.5:
        return (of_target * (_growth(product, y.log() - log_mean, q) - 1.0) + of_mean) / s
    return (of_target - of_mean * (1.0 + _growth(product, y.log() - log_mean, s))) / -q


def _growth(product: Tensor, log_ratio: Tensor, exponent: float) -> Tensor:
    """((y / m)^e - 1) / e, and its limit log(y / m)."""
    return torch.expm1(product) / exponent if exponent else log_ratio
