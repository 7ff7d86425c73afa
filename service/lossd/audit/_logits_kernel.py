"""Rows of logits, some at once: lanes of a loop that the compiler makes vectors of.

A block is always full, by its last row again and again, so that no row is ever measured by other
instructions than the rest: its bits do not depend on how rows are cut.
"""

import math
from typing import Any

import numpy as np

from lossd.audit._columns import (
    BAD_LABEL,
    CONFIDENCE,
    ENTROPY,
    IMPOSSIBLE,
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
from lossd.audit._exp import exp_of_negative
from lossd.compiled import called

# What is known of each lane, in the rows of one array.
_MOST, _LEAST, _SUM, _PLACE, _BAD, _OWN, _OTHERS, _SQUARES, _DISTANCE, _NEXT, _ABOVE = range(11)
_KNOWN = 11


@called()
def _lanes(classes: int) -> int:
    """How many rows go together, so that they stay in the cache."""
    return 64 if classes <= 64 else 16


@called()
def _gather(scores: Any, labels: Any, start: int, x: Any, own: Any, known: Any) -> None:
    """Rows as columns, and each one's label and own logit."""
    classes, lanes = x.shape
    for lane in range(lanes):
        i = min(start + lane, scores.shape[0] - 1)
        label = labels[i]
        own[lane] = label if 0 <= label < classes else 0
        known[_OWN, lane] = scores[i, own[lane]]
        for j in range(classes):
            x[j, lane] = scores[i, j]


@called()
def _scan(x: Any, known: Any) -> None:
    """Extremes, sum, the first place of the largest, and whether there is NaN or infinity."""
    most, least, total = known[_MOST], known[_LEAST], known[_SUM]
    place, bad = known[_PLACE], known[_BAD]
    most[:], least[:], total[:], place[:], bad[:] = -math.inf, math.inf, 0.0, 0.0, 0.0
    for j in range(x.shape[0]):
        here = float(j)
        for lane in range(x.shape[1]):
            each, before = x[j, lane], most[lane]
            is_more = each > before
            place[lane] = here if is_more else place[lane]
            most[lane] = each if is_more else before
        for lane in range(x.shape[1]):
            each, before = x[j, lane], least[lane]
            least[lane] = each if each < before else before
            total[lane] += each
            bad[lane] += 0.0 if each < math.inf else 1.0


@called()
def _spread(x: Any, labels: Any, known: Any) -> None:
    """Sums over the exponentials, and how many classes are before the label."""
    most, own = known[_MOST], known[_OWN]
    others, squares, distance = known[_OTHERS], known[_SQUARES], known[_DISTANCE]
    following, above = known[_NEXT], known[_ABOVE]
    others[:], squares[:], distance[:], following[:], above[:] = 0.0, 0.0, 0.0, -math.inf, 0.0
    for j in range(x.shape[0]):
        for lane in range(x.shape[1]):
            each = x[j, lane]
            far = each - most[lane]
            e = exp_of_negative(far)
            distance[lane] += e * far if e > 0.0 else 0.0
            other = 0.0 if j == labels[lane] else e
            others[lane] += other
            squares[lane] += other * other
            far = -math.inf if j == labels[lane] else far
            following[lane] = far if far > following[lane] else following[lane]
            before = (each > own[lane]) | ((each == own[lane]) & (j < labels[lane]))
            above[lane] += 1.0 if before else 0.0


@called()
def _tell(known: Any, lane: int, floats: Any, i: int) -> None:
    """The columns of one row."""
    most, others = known[_MOST, lane], known[_OTHERS, lane]
    lead = known[_OWN, lane] - most
    own = exp_of_negative(lead)
    total = others + own
    # The term that is 1 is kept out of the sum: its small company would be rounded away beside it.
    log_total = math.log1p(others if lead == 0.0 else total - 1.0)
    miss = others / total
    floats[LOG_P, i] = lead - log_total
    floats[MISS, i] = miss
    floats[CONFIDENCE, i] = 1.0 / total
    floats[MARGIN, i] = (own - exp_of_negative(known[_NEXT, lane])) / total
    floats[ENTROPY, i] = max(log_total - known[_DISTANCE, lane] / total, 0.0)
    floats[RESIDUAL, i] = miss * miss + known[_SQUARES, lane] / (total * total)
    floats[LOG_SUM_EXP, i] = most + log_total
    floats[LARGEST, i] = most
    floats[SMALLEST, i] = known[_LEAST, lane]
    floats[TOTAL, i] = known[_SUM, lane]


@called()
def measure_logits(
    scores: Any, labels: Any, floats: Any, predicted: Any, rank: Any, faults: Any
) -> None:
    """Fill the columns of all rows."""
    rows, classes = scores.shape
    lanes = _lanes(classes)
    x, known = np.empty((classes, lanes)), np.empty((_KNOWN, lanes))
    own = np.empty(lanes, np.int64)
    for start in range(0, rows, lanes):
        _gather(scores, labels, start, x, own, known)
        _scan(x, known)
        _spread(x, own, known)
        for lane in range(min(lanes, rows - start)):
            i = start + lane
            if known[_BAD, lane] > 0.0:
                faults[i] = NOT_FINITE
            elif not 0 <= labels[i] < classes:
                faults[i] = BAD_LABEL
            elif known[_MOST, lane] == -math.inf:
                faults[i] = IMPOSSIBLE
            else:
                faults[i] = USABLE
                predicted[i], rank[i] = int(known[_PLACE, lane]), int(known[_ABOVE, lane])
                _tell(known, lane, floats, i)
