"""What a row of scores looks like, as bits."""

import math
from typing import Any

from lossd.compiled import compiled

EQUAL, LIKE_PROBABILITIES, LIKE_LOG_PROBABILITIES, OUTSIDE, SUM_OFF, ABSURD = range(6)
CHECKS = 6
ONE = 5e-3  # how far from 1 a sum of probabilities may be: rounding to 16 bits stays within
NEAR = 1e-3  # how near to 0 the log of a sum is that is 0 by no accident
MOST = 1e4  # of a largest score: in float32, a thousandth is left of it


@compiled(
    "void(float64[::1], float64[::1], float64[::1], float64[::1], boolean, float64, uint8[::1],"
    " int64[::1])"
)
def look(
    largest: Any,
    smallest: Any,
    total: Any,
    log_sum_exp: Any,
    logits: bool,
    near: float,
    bits: Any,
    counts: Any,
) -> None:
    """Set the bits of each row, and count them. Sums of probabilities are as `near` to 1."""
    for i in range(largest.size):
        high, low, mass = largest[i], smallest[i], total[i]
        inside = low >= 0.0 and high <= 1.0
        found = 0
        if high == low:
            found |= 1 << EQUAL
        if logits:
            if inside and abs(mass - 1.0) <= near:
                found |= 1 << LIKE_PROBABILITIES
            if high <= 0.0 and abs(log_sum_exp[i]) < NEAR:
                found |= 1 << LIKE_LOG_PROBABILITIES
            if abs(high) > MOST:
                found |= 1 << ABSURD
        else:
            if low < -ONE or high > 1.0 + ONE or math.isnan(mass):
                found |= 1 << OUTSIDE
            elif not abs(mass - 1.0) <= ONE:
                found |= 1 << SUM_OFF
            if high <= 0.0:
                found |= 1 << LIKE_LOG_PROBABILITIES
        bits[i] = found
        if found:
            for bit in range(CHECKS):
                counts[bit] += (found >> bit) & 1
