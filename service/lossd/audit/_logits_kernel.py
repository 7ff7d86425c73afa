"""What is known of rows of logits, from one pass over their exponentials."""

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
from lossd.exponentials import exp_of_negative, log_1p


@called()
def spread_logits(x: Any, labels: Any, known: Any) -> None:
    """Sums over the exponentials, and how many classes are before the label."""
    known[OTHERS:][: LANES * 3] = 0.0
    known[NEXT:][:LANES] = -math.inf
    known[ABOVE:][:LANES] = 0.0
    for j in range(x.shape[0]):
        for lane in range(x.shape[1]):
            each, own = x[j, lane], known[OWN + lane]
            far = each - known[MOST + lane]
            e = exp_of_negative(far)
            known[DISTANCE + lane] += e * far if e > 0.0 else 0.0
            other = 0.0 if j == labels[lane] else e
            known[OTHERS + lane] += other
            known[SQUARES + lane] += other * other
            far = -math.inf if j == labels[lane] else far
            following = known[NEXT + lane]
            known[NEXT + lane] = far if far > following else following
            before = (each > own) | ((each == own) & (j < labels[lane]))
            known[ABOVE + lane] += 1.0 if before else 0.0


@called()
def conclude_logits(known: Any, lanes: int) -> None:
    """The columns of each row."""
    for lane in range(lanes):
        most, others = known[MOST + lane], known[OTHERS + lane]
        lead = known[OWN + lane] - most
        own = exp_of_negative(lead)
        total = others + own
        # The term that is 1 is kept out of the sum: its small company would be rounded away.
        log_total = log_1p(others if lead == 0.0 else total - 1.0)
        miss = others / total
        entropy = log_total - known[DISTANCE + lane] / total
        margin = (own - exp_of_negative(known[NEXT + lane])) / total
        known[LANES * LOG_P + lane] = lead - log_total
        known[LANES * MISS + lane] = miss
        known[LANES * CONFIDENCE + lane] = 1.0 / total
        known[LANES * MARGIN + lane] = margin
        known[LANES * ENTROPY + lane] = entropy if entropy > 0.0 else 0.0
        known[LANES * RESIDUAL + lane] = miss * miss + known[SQUARES + lane] / (total * total)
        known[LANES * LOG_SUM_EXP + lane] = most + log_total
