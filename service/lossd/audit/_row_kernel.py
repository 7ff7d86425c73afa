"""One pass over scores: what every metric wants to know of a row.

Rows are measured some at once, in lanes of loops that the compiler makes vectors of. A block is
always full, by its last row again and again, so that no row is ever measured by other instructions
than the rest: its numbers depend on that row alone, and are the same bits however rows are cut.
"""

import math
import sys
from typing import Any

import numpy as np

from lossd.audit._columns import (
    ABOVE,
    BAD,
    BAD_LABEL,
    FLOATS,
    IMPOSSIBLE,
    KNOWN,
    LANES,
    LEAST,
    MOST,
    NOT_FINITE,
    OWN,
    PLACE,
    SUM,
    USABLE,
)
from lossd.audit._logits_kernel import conclude_logits, spread_logits
from lossd.audit._probabilities_kernel import conclude_probabilities, spread_probabilities
from lossd.compiled import called, compiled

_LOWEST_FINITE = -sys.float_info.max
_MOST_CLASSES_OF_LANES, _FEW_LANES = 64, 16  # of more classes, fewer rows at once fit the cache


@called()
def _gather(scores: Any, labels: Any, start: int, x: Any, own: Any, known: Any) -> None:
    """Rows as columns, and each one's label, in their range, and own score."""
    classes, lanes = x.shape
    for lane in range(lanes):
        i = min(start + lane, scores.shape[0] - 1)
        label = labels[i]
        own[lane] = label if 0 <= label < classes else 0
        known[OWN + lane] = scores[i, own[lane]]
        for j in range(classes):
            x[j, lane] = scores[i, j]


@called()
def _scan(x: Any, lowest: float, known: Any) -> None:
    """Extremes, sum, the first place of the largest; whether any is NaN, infinite or too low."""
    known[MOST:][:LANES] = -math.inf
    known[LEAST:][:LANES] = math.inf
    known[SUM:][:LANES] = 0.0
    known[PLACE:][:LANES] = 0.0
    known[BAD:][:LANES] = 0.0
    for j in range(x.shape[0]):
        here = float(j)
        for lane in range(x.shape[1]):
            each, most, least = x[j, lane], known[MOST + lane], known[LEAST + lane]
            is_more = each > most
            known[PLACE + lane] = here if is_more else known[PLACE + lane]
            known[MOST + lane] = each if is_more else most
            known[LEAST + lane] = each if each < least else least
            known[SUM + lane] += each
            known[BAD + lane] += 0.0 if (each < math.inf) & (each >= lowest) else 1.0


@called()
def _tell(
    known: Any,
    lanes: int,
    labels: Any,
    classes: int,
    start: int,
    floats: Any,
    predicted: Any,
    rank: Any,
    faults: Any,
) -> None:
    """What is known of rows goes where it is wanted."""
    count = min(lanes, predicted.size - start)
    for column in range(FLOATS):
        for lane in range(count):
            floats[column, start + lane] = known[LANES * column + lane]
    for lane in range(count):
        i = start + lane
        predicted[i], rank[i] = int(known[PLACE + lane]), int(known[ABOVE + lane])
        faults[i] = USABLE
        if known[BAD + lane] > 0.0:
            faults[i] = NOT_FINITE
        elif not 0 <= labels[i] < classes:
            faults[i] = BAD_LABEL
        elif known[MOST + lane] == -math.inf:
            faults[i] = IMPOSSIBLE


@called()
def _all(
    scores: Any, labels: Any, logits: bool, floats: Any, predicted: Any, rank: Any, faults: Any
) -> None:
    classes = scores.shape[1]
    lanes = LANES if classes <= _MOST_CLASSES_OF_LANES else _FEW_LANES
    x, known, own = np.empty((classes, lanes)), np.empty(KNOWN * LANES), np.empty(lanes, np.int64)
    for start in range(0, scores.shape[0], lanes):
        _gather(scores, labels, start, x, own, known)
        _scan(x, -math.inf if logits else _LOWEST_FINITE, known)
        if logits:
            spread_logits(x, own, known)
            conclude_logits(known, lanes)
        else:
            spread_probabilities(x, own, known)
            conclude_probabilities(known, lanes)
        _tell(known, lanes, labels, classes, start, floats, predicted, rank, faults)


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
