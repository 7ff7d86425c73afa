"""Confidence intervals of shares and means, two-sided, at 95 % unless said."""

import math
from statistics import NormalDist

LEVEL = 0.95


def z_of(level: float = LEVEL) -> float:
    """The normal quantile that a two-sided interval of a level reaches to."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(hits: int, count: int, level: float = LEVEL) -> list[float] | None:
    """Wilson's interval of a share; None of nothing."""
    if not count:
        return None
    z = z_of(level)
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return [max(0.0, middle - half), min(1.0, middle + half)]


def of_mean(mean: float, variance: float, count: int, level: float = LEVEL) -> list[float] | None:
    """The normal interval of a mean, of the variance of one number; None of fewer than two."""
    if count < 2 or not math.isfinite(mean):
        return None
    half = z_of(level) * math.sqrt(max(variance, 0.0) / count)
    return [mean - half, mean + half]


def clopper_pearson(hits: int, count: int, level: float = LEVEL) -> list[float] | None:
    """The exact interval of a share, which holds at least the level; None of nothing."""
    from scipy.special import betaincinv  # slow to import

    if not count:
        return None
    tail = (1 - level) / 2
    low = float(betaincinv(hits, count - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 1 - tail)) if hits < count else 1.0
    return [low, high]
