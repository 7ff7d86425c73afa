"""The bucket of a number, by its bits: the exponent and the first bits of the mantissa.

Places by magnitude: 0, below 2^LOWEST, the buckets, from 2^HIGHEST on, infinite.
"""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, compiled

BITS = 6  # of the mantissa
LOWEST, HIGHEST = -40, 40  # exponents of 2
INNER = (HIGHEST - LOWEST) << BITS
MAGNITUDES = INNER + 4
_FIRST = (1023 + LOWEST) << BITS
_SHIFT = 52 - BITS
_INFINITE = 0x7FF << 52
_MAGNITUDE = (1 << 63) - 1


@called()
def place_of(bits: Any) -> Any:
    """Of the bits of a number: the place of its magnitude."""
    magnitude = bits & _MAGNITUDE
    if magnitude == 0:
        return 0
    if magnitude >= _INFINITE:
        return MAGNITUDES - 1
    return min(max((magnitude >> _SHIFT) - _FIRST, -1), INNER) + 2


@compiled(
    "void(Array(float64, 1, 'C', readonly=True), Array(int64, 1, 'C', readonly=True),"
    " boolean, int64[::1], float64[::1])"
)
def add_to_buckets(values: Any, bits: Any, signed: bool, counts: Any, ends: Any) -> None:
    """Count numbers, and widen the ends to the finite ones. `bits` are those of the values."""
    low, high = ends[0], ends[1]
    for i in range(values.size):
        place = place_of(bits[i])
        x = values[i] + 0.0  # makes -0 of no sign: the ends must not know which came first
        if signed:
            counts[MAGNITUDES - 1 + (place if bits[i] >= 0 else -place)] += 1
        else:
            counts[place if bits[i] >= 0 else 0] += 1
            x = max(x, 0.0)
        if math.fabs(x) < np.inf:
            low, high = min(low, x), max(high, x)
    ends[0], ends[1] = low, high
