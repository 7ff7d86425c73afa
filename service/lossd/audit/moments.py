"""Means, variances and intervals, of exact sums."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lossd.audit.intervals import of_mean
from lossd.audit.pieces.sums import MOST


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of the mean of some numbers; None where it is not defined."""

    mean: float | None
    interval: list[float] | None
    standard_deviation: float | None


NOTHING = Moments(None, None, None)


def moments(count: int, total: Fraction | float, squares: Fraction | float) -> Moments:
    """Of numbers, by their sum and the sum of their squares.

    Where a square was too large to be summed there is a mean only.
    """
    if not count:
        return NOTHING
    mean = float(total / count)
    if count < 2 or squares >= MOST:
        return Moments(mean, None, None)
    exact = Fraction(squares) - Fraction(total) ** 2 / count
    variance = max(float(exact / (count - 1)), 0.0)
    return Moments(mean, of_mean(mean, variance, count), math.sqrt(variance))


def of_losses(
    count: int, finite: int, total: Fraction | float, squares: Fraction | float
) -> Moments:
    """Of losses, of which some may be infinite: then there is no mean."""
    return moments(count, total, squares) if finite == count else NOTHING


def of_buckets(buckets: Any, total: Fraction) -> dict[str, Any]:
    """A distribution as it is told: mean, quantiles, and bins to draw."""
    count = buckets.total
    return {
        "mean": float(total / count) if count else None,
        "quantiles": buckets.quantiles(),
        "histogram": buckets.histogram(),
    }
