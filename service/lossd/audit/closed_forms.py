"""Other losses of the same scores: values, and the norm of the gradient by the logits.

Of every row, in closed form, from what was measured of it once. Probabilities count as the softmax
of their logarithms.
"""

import numpy as np
from numpy.typing import NDArray

from lossd.audit import _what_if_kernel as kernel
from lossd.audit.rows import Rows
from lossd.audit.setup import Setup

LOSSES: dict[str, dict[str, float]] = {
    "cross_entropy": {},
    "focal": {"gamma": 2.0},
    "generalized_cross_entropy": {"q": 0.7},
    "label_smoothing": {"smoothing": 0.1},
    "logit_adjustment": {"tau": 1.0},
    "balanced_softmax": {},
}
OF_CLASS_COUNTS = ("logit_adjustment", "balanced_softmax")  # which are equal where tau is 1

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def closed_forms(rows: Rows, setup: Setup) -> dict[str, Pair]:
    """By loss: value and gradient norm of each row. Those of class counts only where given."""
    counts = setup.class_counts
    prior = np.empty(0) if counts is None else np.log(np.array(counts) / np.sum(counts))
    found = np.empty((4, len(rows)))
    run = kernel.look_float32 if rows.scores.dtype == np.float32 else kernel.look_float64
    is_logits = setup.scores == "logits"
    run(rows.scores, rows.labels, is_logits, rows.log_sum_exp, prior, found)
    norm = np.sqrt(rows.residual)
    forms = {
        "cross_entropy": (-rows.log_p, norm),
        "focal": _focal(rows, norm, LOSSES["focal"]["gamma"]),
        "generalized_cross_entropy": _generalized(rows, norm),
        "label_smoothing": _smoothed(rows, found),
    }
    if counts is not None:
        adjusted = found[kernel.ADJUSTED], found[kernel.ADJUSTED_NORM]
        forms |= dict.fromkeys(OF_CLASS_COUNTS, adjusted)
    return forms


def _focal(rows: Rows, norm: NDArray[np.float64], gamma: float) -> Pair:
    """With p the probability of the label: -(1 - p)^gamma log p."""
    possible = rows.log_p > -np.inf
    p, log_p = np.exp(rows.log_p), np.where(possible, rows.log_p, 0.0)
    miss = np.clip(rows.miss, 0.0, 1.0)
    slope = miss**gamma - gamma * p * miss ** (gamma - 1) * log_p
    return np.where(possible, -(miss**gamma) * log_p, np.inf), slope * norm


def _generalized(rows: Rows, norm: NDArray[np.float64]) -> Pair:
    """(1 - p^q) / q."""
    q = LOSSES["generalized_cross_entropy"]["q"]
    return -np.expm1(q * rows.log_p) / q, np.exp(q * rows.log_p) * norm


def _smoothed(rows: Rows, found: NDArray[np.float64]) -> Pair:
    """Cross-entropy of a label of which a share is spread evenly over the possible classes."""
    share = LOSSES["label_smoothing"]["smoothing"]
    spread, possible = found[kernel.SPREAD], found[kernel.POSSIBLE]
    each = share / np.maximum(possible, 1)
    others = np.maximum(rows.residual - rows.miss**2, 0)  # squares of the other probabilities
    has_label = rows.log_p > -np.inf
    own = np.where(has_label, share - each - rows.miss, 1 - share)
    rest = possible - has_label
    squares = own**2 + others - 2 * each * rows.miss + rest * each**2
    return (1 - share) * -rows.log_p + share * spread, np.sqrt(np.maximum(squares, 0))
