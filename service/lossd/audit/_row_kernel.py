"""One pass over scores: what every metric wants to know of a row.

A row's numbers depend on that row alone, so that they are the same bits however rows are cut.
"""

import math
from typing import Any

from lossd.audit._columns import (
    BAD_LABEL,
    CONFIDENCE,
    ENTROPY,
    LARGEST,
    LOG_P,
    LOG_SUM_EXP,
    MARGIN,
    MISS,
    NOT_FINITE,
    RESIDUAL,
    SMALLEST,
    TOTAL,
    USABLE,
)
from lossd.audit._logits_kernel import measure_logits
from lossd.compiled import called, compiled


@called()
def _of_probabilities(p: Any, label: int, most: float, floats: Any, i: int) -> None:
    entropy, squares, largest_other = 0.0, 0.0, -math.inf
    for j in range(p.size):
        each = float(p[j])
        if each > 0.0:
            entropy -= each * math.log(each)
        if j != label:
            squares += each * each
            largest_other = max(largest_other, each)
    own = float(p[label])
    floats[LOG_P, i] = math.log(own) if own > 0.0 else -math.inf
    floats[MISS, i] = 1.0 - own
    floats[CONFIDENCE, i] = most
    floats[MARGIN, i] = own - largest_other
    floats[ENTROPY, i] = max(entropy, 0.0)
    floats[RESIDUAL, i] = (1.0 - own) ** 2 + squares
    floats[LOG_SUM_EXP, i] = 0.0


@called()
def _row(p: Any, label: int, floats: Any, predicted: Any, rank: Any, i: int) -> int:
    """What is wrong with a row of probabilities; if nothing is, its numbers are written."""
    most, least, total, place = -math.inf, math.inf, 0.0, 0
    for j in range(p.size):
        each = float(p[j])
        if not -math.inf < each < math.inf:
            return NOT_FINITE
        total += each
        least = min(least, each)
        if each > most:
            most, place = each, j
    if not 0 <= label < p.size:
        return BAD_LABEL
    own, above = float(p[label]), 0
    for j in range(p.size):
        each = float(p[j])
        above += each > own or (each == own and j < label)
    predicted[i], rank[i] = place, above
    floats[LARGEST, i], floats[SMALLEST, i], floats[TOTAL, i] = most, least, total
    _of_probabilities(p, label, most, floats, i)
    return USABLE


@called()
def _all(
    scores: Any, labels: Any, logits: bool, floats: Any, predicted: Any, rank: Any, faults: Any
) -> None:
    if logits:
        measure_logits(scores, labels, floats, predicted, rank, faults)
        return
    for i in range(scores.shape[0]):
        faults[i] = _row(scores[i], labels[i], floats, predicted, rank, i)


@compiled(
    "void(Array(float32, 2, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), boolean,"
    " float64[:, ::1], int64[::1], int64[::1], uint8[::1])"
)
def measure_float32(
    scores: Any, labels: Any, logits: bool, floats: Any, predicted: Any, rank: Any, faults: Any
) -> None:
    """Fill the columns of rows of float32."""
    _all(scores, labels, logits, floats, predicted, rank, faults)


@compiled(
    "void(Array(float64, 2, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), boolean,"
    " float64[:, ::1], int64[::1], int64[::1], uint8[::1])"
)
def measure_float64(
    scores: Any, labels: Any, logits: bool, floats: Any, predicted: Any, rank: Any, faults: Any
) -> None:
    """Fill the columns of rows of float64."""
    _all(scores, labels, logits, floats, predicted, rank, faults)
