"""The gamma function's logarithms where they would cancel."""

import torch
from torch import Tensor

_SHIFT = 10  # from where on the series below is exact in float64


def _stirling(x: Tensor) -> Tensor:
    """What Stirling's formula leaves of log Gamma, x >= 10."""
    s = 1.0 / x.square()
    series = 1.0 / 1680.0 - s * (1.0 / 1188.0 - s * (691.0 / 360360.0))
    return (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * series))) / x


def log_gamma_ratio(x: Tensor, y: Tensor | float) -> Tensor:
    """log Gamma(x + y) - log Gamma(x), x > 0 and y >= 0, of any size.

    Not by subtraction: log Gamma(1e4) is 82100, of which float32 holds two decimals.
    """
    large = x + _SHIFT
    value = (large + y - 0.5) * torch.log1p(y / large) + y * large.log() - y
    value = value + _stirling(large + y) - _stirling(large)
    for k in range(_SHIFT):
        value = value - torch.log1p(y / (x + k))
    return value


def digamma(x: Tensor) -> Tensor:
    """The derivative of log Gamma, x >= 1. Its own is exact too, of which torch has 9 digits."""
    large = x + _SHIFT
    s = 1.0 / large.square()
    series = 1.0 / 252.0 - s * (1.0 / 240.0 - s / 132.0)
    value = large.log() - 0.5 / large - s * (1.0 / 12.0 - s * (1.0 / 120.0 - s * series))
    for k in range(_SHIFT):
        value = value - 1.0 / (x + k)
    return value
