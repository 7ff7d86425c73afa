"""What is known of rows of probabilities, from one pass over their logarithms."""

import math
from typing import Any

from lossd.audit._columns import (
    ABOVE,
    CONFIDENCE,
    DISTANCE,
    ENTROPY,
    LANES,
    LOG_P,
    LOG_SUM_EXP,
    MARGIN,
    MISS,
    MOST,
    NEXT,
    OTHERS,
    OWN,
    RESIDUAL,
    SQUARES,
)
from lossd.compiled import called
from lossd.exponentials import SMALLEST_NORMAL, log


@called()
def spread_probabilities(x: Any, labels: Any, known: Any) -> None:
    """Sums over the probabilities, and how many classes are before the label."""
    known[OTHERS:][: LANES * 3] = 0.0
    known[NEXT:][:LANES] = -math.inf
    known[ABOVE:][:LANES] = 0.0
    for j in range(x.shape[0]):
        for lane in range(x.shape[1]):
            each, own = x[j, lane], known[OWN + lane]
            is_some = each >= SMALLEST_NORMAL  # below, p log p is as good as 0
            known[DISTANCE + lane] += each * log(each) if is_some else 0.0
            other = 0.0 if j == labels[lane] else each
            known[SQUARES + lane] += other * other
            other = -math.inf if j == labels[lane] else each
            following = known[NEXT + lane]
            known[NEXT + lane] = other if other > following else following
            before = (each > own) | ((each == own) & (j < labels[lane]))
            known[ABOVE + lane] += 1.0 if before else 0.0


@called()
def conclude_probabilities(known: Any, lanes: int) -> None:
    """The columns of each row."""
    for lane in range(lanes):
        own = known[OWN + lane]
        entropy = -known[DISTANCE + lane]
        known[LANES * LOG_P + lane] = math.log(own) if own > 0.0 else -math.inf
        known[LANES * MISS + lane] = 1.0 - own
        known[LANES * CONFIDENCE + lane] = known[MOST + lane]
        known[LANES * MARGIN + lane] = own - known[NEXT + lane]
        known[LANES * ENTROPY + lane] = entropy if entropy > 0.0 else 0.0
        known[LANES * RESIDUAL + lane] = (1.0 - own) ** 2 + known[SQUARES + lane]
        known[LANES * LOG_SUM_EXP + lane] = 0.0
