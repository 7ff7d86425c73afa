"""Confident learning, of counts: which labels a model contradicts, and how classes are confused.

A class is confident in a row whose probability for it reaches the mean that rows of that label
give it. Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
Labels", section 3; the tolerances are cleanlab's.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["argmax", "cleanlab", "paper"]
TOLERANCE = 1e-6  # of a threshold, and of how far another class must be ahead of the label
_LEAST_THRESHOLD = 2e-6
_NEVER = 2.0  # the threshold of a class that no row is labelled with: above all probabilities


def thresholds(sums: Sequence[Fraction], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean probability of each class over the rows of that label; 2 where there is none."""
    pairs = zip(sums, counts.tolist(), strict=True)
    means = [float(total / count) if count else _NEVER for total, count in pairs]
    return np.maximum(means, _LEAST_THRESHOLD)


def joint(confident: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of (label, true class), whose rows sum to the labels' own shares.

    `confident` counts rows by label and confident class. Every class has one row at least that is
    rightly labelled, so that none divides by 0.
    """
    counted = confident.astype(np.float64)
    np.fill_diagonal(counted, np.maximum(np.diagonal(counted), 1.0))
    calibrated = counted / counted.sum(1, keepdims=True) * counts[:, None]
    shares: NDArray[np.float64] = calibrated / max(calibrated.sum(), 1.0)
    return shares


def transitions(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(label | true class): (label, true class), whose columns sum to 1 (or are 0)."""
    totals = shares.sum(0)
    found: NDArray[np.float64] = shares / np.where(totals > 0, totals, 1.0)
    return found


def noise_rate(shares: NDArray[np.float64]) -> float:
    """Share of rows whose label is not the true class, by the joint."""
    return float(1.0 - np.trace(shares))


def doubts(confident: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """By (label, class): the logarithm of P(label | class) / P(label | itself), by the joint.

    Added to the logarithm of p_class / p_label, it is that of the odds that the row is of the class
    and not of its label. The joint's confusions are taken halfway to equally frequent ones, because
    few rows tell them apart where errors are few.
    """
    classes = len(counts)
    wrong = confident.astype(np.float64)
    np.fill_diagonal(wrong, 0.0)
    rate = wrong.sum() / max(confident.sum(), 1.0)
    even = rate * confident.sum(0) / (classes - 1)
    smooth = 0.5 * wrong + 0.5 * even + 0.5 / classes
    np.fill_diagonal(smooth, np.maximum(np.diagonal(confident), 1.0))
    shares = joint(smooth, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(transitions(shares))
        found -= np.diagonal(found)[:, None]
    return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
