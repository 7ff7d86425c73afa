"""The loss at many temperatures, and its derivatives by the inverse temperature."""

import math
from typing import Any

import numpy as np

from lossd.audit.pieces.sums import split
from lossd.compiled import compiled, inlined
from lossd.exponentials import exp_of_negative

LOSS, SLOPE, CURVATURE, SLOPE_SQUARED, CONFIDENCE = range(5)
BINS = 15
FARTHEST = -(2.0**30)  # a label's logit less the largest: beyond, its square cannot be summed


@inlined()
def _row(
    far: Any, e: Any, lead: float, correct: int, betas: Any, sums: Any, bins: Any, counts: Any
) -> None:
    for i in range(betas.size):
        total, first, second = 0.0, 0.0, 0.0
        for j in range(far.size):
            e[j] = exp_of_negative(betas[i] * far[j])
        for j in range(far.size):
            if e[j] > 0.0:
                total += e[j]
                first += e[j] * far[j]
                second += e[j] * far[j] * far[j]
        mean = first / total
        slope = mean - lead
        split(math.log(total) - betas[i] * lead, sums[i, 0])
        split(slope, sums[i, 1])
        split(max(second / total - mean * mean, 0.0), sums[i, 2])
        split(slope * slope, sums[i, 3])
        place = min(int(np.ceil(BINS / total)) - 1, BINS - 1)
        split(1.0 / total, bins[i, place])
        counts[0, i, place] += 1
        counts[1, i, place] += correct


@inlined()
def _all(
    scores: Any,
    labels: Any,
    most: Any,
    correct: Any,
    betas: Any,
    sums: Any,
    bins: Any,
    counts: Any,
) -> None:
    far, e = np.empty((2, scores.shape[1]))
    for i in range(labels.size):
        for j in range(far.size):
            far[j] = float(scores[i, j]) - most[i]
        lead = far[labels[i]]
        if lead >= FARTHEST:
            _row(far, e, lead, correct[i], betas, sums, bins, counts)


@compiled(
    "void(Array(float32, 2, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), float64[::1],"
    " Array(boolean, 1, 'C', readonly=True), float64[::1], int64[:, :, ::1], int64[:, :, ::1],"
    " int64[:, :, ::1])"
)
def add_temperatures_float32(
    scores: Any, labels: Any, most: Any, correct: Any, betas: Any, sums: Any, bins: Any, counts: Any
) -> None:
    """Add rows of logits; `most` is each row's largest. Labels beyond `FARTHEST` are left out.

    Per inverse temperature: to `sums` (betas, 4, limbs) the loss, its two derivatives and the
    square of the first; to `bins` (betas, BINS, limbs) confidence; to `counts` rows and right ones.
    """
    _all(scores, labels, most, correct, betas, sums, bins, counts)


@compiled(
    "void(Array(float64, 2, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), float64[::1],"
    " Array(boolean, 1, 'C', readonly=True), float64[::1], int64[:, :, ::1], int64[:, :, ::1],"
    " int64[:, :, ::1])"
)
def add_temperatures_float64(
    scores: Any, labels: Any, most: Any, correct: Any, betas: Any, sums: Any, bins: Any, counts: Any
) -> None:
    """The same of float64."""
    _all(scores, labels, most, correct, betas, sums, bins, counts)
