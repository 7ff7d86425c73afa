"""Tests of two shares by scipy, and their correction by statsmodels."""

from typing import Any

import numpy as np
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportions_ztest

SOURCE = "scipy 1.17.1, statsmodels 0.15.0"
_TABLES = [
    [3, 40, 100, 1_000],
    [40, 40, 900, 1_000],
    [0, 30, 500, 100_000],
    [29, 30, 99_000, 100_000],
    [500, 1_000, 5_000, 10_000],
    [700, 1_000, 5_000, 10_000],
    [10, 10_000, 9_990, 10_000],
    [1_200, 20_000, 1_000, 20_000],
    [7, 31, 8, 35],
    [31, 31, 35, 35],
]
_MANY = [[810_000, 1_000_000, 2_425_000, 3_000_000], [500_000, 1_000_000, 500_300, 1_000_000]]


def cases() -> list[dict[str, Any]]:
    """Hits and rows of two groups, with the p-values."""
    exact = [float(fisher_exact([[a, n - a], [b, m - b]]).pvalue) for a, n, b, m in _TABLES]
    near = [float(proportions_ztest([a, b], [n, m])[1]) for a, n, b, m in _MANY]
    random = np.random.default_rng(0)
    lists = [exact, random.random(50).tolist(), [0.01] * 5, (random.random(40) ** 4).tolist()]
    return [
        {
            "from": SOURCE,
            "tables": _TABLES + _MANY,
            "p_values": exact + near,
            "lists": lists,
            "adjusted": [multipletests(each, 0.05, "fdr_bh")[1].tolist() for each in lists],
        }
    ]
