"""Differences between two models, each with what is known of it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.intervals import LEVEL, wilson, z_of

POWER = 0.8


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline, both on `rows` of each.

    `interval` is two-sided at 95 %. `minimum_detectable`: a true difference of this size is told
    from none (at 5 %, two-sided) four times of five. `effect_size` is in standard deviations of the
    rows (of the rows' differences, where they are paired), or Cohen's h of two shares.
    """

    baseline: float
    candidate: float
    difference: float
    interval: tuple[float, float] | None
    minimum_detectable: float | None
    effect_size: float | None
    rows: tuple[int, int]
    paired: bool

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        found = asdict(self)
        found["interval"] = None if self.interval is None else list(self.interval)
        return found | {"rows": list(self.rows)}


def minimum_detectable(standard_error: float) -> float:
    """What a two-sided test at `1 - LEVEL` finds with a power of `POWER`."""
    return (z_of(LEVEL) + z_of(2 * POWER - 1)) * standard_error


def of_paired_numbers(a: NDArray[np.float64], b: NDArray[np.float64]) -> Difference | None:
    """Of the means of numbers of the same rows, finite ones; None of fewer than two."""
    n = len(a)
    if n < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        each = b - a
        mean, deviation = float(each.mean()), float(each.std(ddof=1))
    if not (math.isfinite(mean) and math.isfinite(deviation)):
        return None
    error = deviation / math.sqrt(n)
    half = z_of() * error
    return Difference(
        float(a.mean()),
        float(b.mean()),
        mean,
        (mean - half, mean + half),
        minimum_detectable(error),
        mean / deviation if deviation else None,
        (n, n),
        True,
    )


def of_paired_shares(both: int, only_a: int, only_b: int, neither: int) -> Difference | None:
    """Of shares of the same rows, from the four counts; None of no rows.

    The interval is Agresti's and Min's: half a row is added to each count, so that it does not
    shrink to nothing where few rows differ.
    """
    n = both + only_a + only_b + neither
    if not n:
        return None
    share_a, share_b = (both + only_a) / n, (both + only_b) / n
    more, size = only_b - only_a, n + 2
    middle = more / size
    error = math.sqrt(only_a + only_b + 1 - more * more / size) / size
    half = z_of() * error
    return Difference(
        share_a,
        share_b,
        more / n,
        (max(-1.0, middle - half), min(1.0, middle + half)),
        minimum_detectable(error),
        cohens_h(share_a, share_b),
        (n, n),
        True,
    )


def of_shares(hits_a: int, n_a: int, hits_b: int, n_b: int) -> Difference | None:
    """Of shares of different rows, with Newcombe's interval; None where one has no rows."""
    around_a, around_b = wilson(hits_a, n_a), wilson(hits_b, n_b)
    if around_a is None or around_b is None:
        return None
    a, b = hits_a / n_a, hits_b / n_b
    down = math.hypot(b - around_b[0], around_a[1] - a)
    up = math.hypot(around_b[1] - b, a - around_a[0])
    return Difference(
        a,
        b,
        b - a,
        (b - a - down, b - a + up),
        minimum_detectable((down + up) / 2 / z_of()),
        cohens_h(a, b),
        (n_a, n_b),
        False,
    )


def of_means(
    mean_a: float,
    interval_a: Sequence[float],
    n_a: int,
    mean_b: float,
    interval_b: Sequence[float],
    n_b: int,
) -> Difference:
    """Of means of different rows, from their intervals (Welch)."""
    halves = [(each[1] - each[0]) / 2 for each in (interval_a, interval_b)]
    error = math.hypot(*halves) / z_of()
    variances = [(half / z_of()) ** 2 * n for half, n in zip(halves, (n_a, n_b), strict=True)]
    deviation = math.sqrt(sum(variances) / 2)
    difference = mean_b - mean_a
    half = z_of() * error
    return Difference(
        mean_a,
        mean_b,
        difference,
        (difference - half, difference + half),
        minimum_detectable(error),
        difference / deviation if deviation else None,
        (n_a, n_b),
        False,
    )


def cohens_h(a: float, b: float) -> float:
    """The distance of two shares where their spread does not depend on them."""
    return 2 * (math.asin(math.sqrt(b)) - math.asin(math.sqrt(a)))


def mid_p(only_a: int, only_b: int) -> float:
    """McNemar's test of two shares of the same rows, with the mid-p correction; two-sided."""
    from scipy.special import bdtr, gammaln

    low, n = min(only_a, only_b), only_a + only_b
    if not n:
        return 1.0
    log_mass = gammaln(n + 1) - gammaln(low + 1) - gammaln(n - low + 1) - n * math.log(2)
    return float(min(1.0, max(0.0, 2 * bdtr(low, n, 0.5) - math.exp(log_mass))))
