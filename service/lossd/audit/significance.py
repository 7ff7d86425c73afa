"""Whether a share differs from another, and what is left of it when many are asked."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FALSE_DISCOVERY_RATE = 0.05
_EXACT_UP_TO = 1e4  # of the variance; above, the normal distribution is as near as anyone needs
_TIES = 1e-7  # relative: probabilities that differ by less are the same


def two_shares(hits: int, count: int, other_hits: int, other_count: int) -> float | None:
    """The two-sided p-value of equal shares; None where one side has no rows.

    Fisher's exact test, or the score test of two shares where there are so many that it is near.
    """
    if not count or not other_count:
        return None
    total, marked = count + other_count, hits + other_hits
    share = marked / total
    variance = count * share * (1 - share) * (other_count / total)
    if not variance:
        return 1.0
    if variance > _EXACT_UP_TO:
        z = (hits - count * share) / math.sqrt(variance)
        return math.erfc(abs(z) / math.sqrt(2))
    return _fisher(hits, count, marked, total, math.sqrt(variance))


def _fisher(hits: int, count: int, marked: int, total: int, deviation: float) -> float:
    """Of the hits in `count` drawn of `total` that hold `marked`: all that are no likelier."""
    mean = count * marked / total
    reach = abs(hits - mean) + 10 * deviation + 50  # beyond, there is nothing to add
    low = max(0, count + marked - total, int(mean - reach))
    high = min(count, marked, math.ceil(mean + reach))
    k = np.arange(low, high + 1)
    log_p = _log_choose(marked, k) + _log_choose(total - marked, count - k)
    log_p = log_p - log_p.max()
    p = np.exp(log_p)
    counted = log_p <= log_p[hits - low] + _TIES
    return float(min(1.0, p[counted].sum() / p.sum()))


def _log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    from scipy.special import gammaln  # slow to import, and seldom needed

    found: NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's: each p-value times how many there are over its rank.

    Those at most a rate are the ones whose false discoveries are expected to be that share.
    """
    if not len(p_values):
        return []
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return [float(each) for each in found]
