"""The loss at many temperatures, and its derivatives by the inverse temperature."""

import math
from typing import Any

import numpy as np

from lossd.audit.pieces.sums import split
from lossd.compiled import compiled, inlined

LOSS, SLOPE, CURVATURE, SLOPE_SQUARED, CONFIDENCE = range(5)
BINS = 15


@inlined()
def _row(
    z: Any, label: int, most: float, correct: int, betas: Any, sums: Any, bins: Any, counts: Any
) -> None:
    lead = float(z[label]) - most
    for i in range(betas.size):
        total, first, second = 0.0, 0.0, 0.0
        for j in range(z.size):
            far = float(z[j]) - most
            e = math.exp(betas[i] * far)
            if e > 0.0:
                total += e
                first += e * far
                second += e * far * far
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
    for i in range(labels.size):
        if float(scores[i, labels[i]]) > -math.inf:
            _row(scores[i], labels[i], most[i], correct[i], betas, sums, bins, counts)


@compiled(
    "void(Array(float32, 2, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), float64[::1],"
    " Array(boolean, 1, 'C', readonly=True), float64[::1], int64[:, :, ::1], int64[:, :, ::1],"
    " int64[:, :, ::1])"
)
def add_temperatures_float32(
    scores: Any, labels: Any, most: Any, correct: Any, betas: Any, sums: Any, bins: Any, counts: Any
) -> None:
    """Add rows of logits whose label is possible; `most` is each row's largest.

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
