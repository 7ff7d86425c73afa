"""Differences and distances by statsmodels and scipy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy
import statsmodels
from scipy.stats import binom, ks_2samp, wasserstein_distance
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_effectsize
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

SOURCE = f"statsmodels {statsmodels.__version__}, scipy {scipy.__version__}"


def cases() -> Iterator[dict[str, Any]]:
    for b, c in ((0, 0), (1, 0), (3, 9), (7, 7), (40, 71), (1000, 1100), (30_000, 29_000)):
        exact = mcnemar([[5, b], [c, 5]], exact=True).pvalue
        # Of equal counts the exact test gives 1, and so does the corrected one.
        value = 1.0 if b == c else exact - binom.pmf(min(b, c), b + c, 0.5)
        yield {"what": "mid_p", "source": SOURCE, "of": [b, c], "value": float(value)}
    for a, n, b, m in ((50, 100, 60, 100), (0, 20, 3, 25), (990, 1000, 1980, 2000), (7, 7, 7, 7)):
        low, high = confint_proportions_2indep(b, m, a, n, method="newcomb", compare="diff")
        effect = proportion_effectsize(b / m, a / n)
        of = [a, n, b, m]
        yield {"what": "shares", "source": SOURCE, "of": of, "value": [low, high, effect]}
    for seed, n, m in ((0, 200, 300), (1, 50, 5_000), (2, 4_000, 4_000)):
        x, y = samples(seed, n, m)
        low, high = CompareMeans(DescrStatsW(y), DescrStatsW(x)).zconfint_diff(usevar="unequal")
        yield {"what": "means", "source": SOURCE, "of": [seed, n, m], "value": [low, high]}
        k = min(n, m)
        each = DescrStatsW(y[:k] - x[:k])
        size = NormalIndPower(ddof=0).solve_power(nobs1=k, alpha=0.05, power=0.8, ratio=0)
        value = [*each.zconfint_mean(), size * float(np.std(y[:k] - x[:k], ddof=1))]
        yield {"what": "paired", "source": SOURCE, "of": [seed, n, m], "value": value}
        value = [ks_2samp(x, y).statistic, wasserstein_distance(x, y)]
        yield {"what": "distances", "source": SOURCE, "of": [seed, n, m], "value": value}


def samples(seed: int, n: int, m: int) -> tuple[Any, Any]:
    """Numbers like losses, of two models."""
    random = np.random.default_rng(seed)
    return random.gamma(0.7, 1.0, n), random.gamma(0.8, 1.1, m)
