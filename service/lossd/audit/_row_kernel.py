"""One pass over scores: what every metric wants to know of a row.

A row's numbers depend on that row alone, so that they are the same bits however rows are cut.
"""

import math
from typing import Any

from lossd.compiled import called, compiled

USABLE, NOT_FINITE, IMPOSSIBLE, BAD_LABEL = 0, 1, 2, 3
LOG_P, MISS, CONFIDENCE, MARGIN, ENTROPY, RESIDUAL, LOG_SUM_EXP = range(7)
LARGEST, SMALLEST, TOTAL = range(7, 10)
FLOATS = 10


@called()
def _of_logits(z: Any, label: int, most: float, floats: Any, i: int) -> None:
    others, squares, distance, largest_other = 0.0, 0.0, 0.0, -math.inf
    for j in range(z.size):
        far = float(z[j]) - most
        e = math.exp(far)
        if e > 0.0:
            distance += e * far
        if j != label:
            others += e
            squares += e * e
            largest_other = max(largest_other, far)
    lead = float(z[label]) - most
    own = math.exp(lead)
    total = others + own
    # The term that is 1 is kept out of the sum: its small company would be rounded away beside it.
    beside = others if lead == 0.0 else total - 1.0
    log_total = math.log1p(beside)
    floats[LOG_P, i] = lead - log_total
    floats[MISS, i] = others / total
    floats[CONFIDENCE, i] = 1.0 / total
    floats[MARGIN, i] = (own - math.exp(largest_other)) / total
    floats[ENTROPY, i] = max(log_total - distance / total, 0.0)
    floats[RESIDUAL, i] = (others / total) ** 2 + squares / (total * total)
    floats[LOG_SUM_EXP, i] = most + log_total


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
def _row(z: Any, label: int, logits: bool, floats: Any, predicted: Any, rank: Any, i: int) -> int:
    """What is wrong with a row; 0 if nothing is, and then its numbers are written."""
    most, least, total, place = -math.inf, math.inf, 0.0, 0
    for j in range(z.size):
        each = float(z[j])
        if not each < math.inf or (not logits and not each > -math.inf):
            return NOT_FINITE
        total += each
        least = min(least, each)
        if each > most:
            most, place = each, j
    if not 0 <= label < z.size:
        return BAD_LABEL
    if most == -math.inf:
        return IMPOSSIBLE
    own, above = float(z[label]), 0
    for j in range(z.size):
        each = float(z[j])
        above += each > own or (each == own and j < label)
    predicted[i], rank[i] = place, above
    floats[LARGEST, i], floats[SMALLEST, i], floats[TOTAL, i] = most, least, total
    if logits:
        _of_logits(z, label, most, floats, i)
    else:
        _of_probabilities(z, label, most, floats, i)
    return USABLE


@called()
def _all(
    scores: Any, labels: Any, logits: bool, floats: Any, predicted: Any, rank: Any, faults: Any
) -> None:
    for i in range(scores.shape[0]):
        faults[i] = _row(scores[i], labels[i], logits, floats, predicted, rank, i)


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
