"""Bins of a probability that are fine where confidences crowd: near 1, and of one ratio below 1/2.

A bin is found by the bits of p below 1/2, and by those of 1 - p above: whole octaves, each cut into
equal parts. So it takes no logarithm, and the place of a number is the same on every machine.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_MANTISSA_BITS = 52
_UP_OCTAVES = 19  # 1 - p down to 2^-20: what lies closer to 1 is one bin


@dataclass(frozen=True, slots=True)
class Bins:
    """`low` octaves of p below 1/2 and `up` of 1 - p above it, of 2^`parts_bits` bins each.

    Bins are in order of p. The first begins at 0 and the last ends at 1, whatever the octaves.
    """

    low: int
    up: int
    parts_bits: int

    @classmethod
    def within(cls, cells: int, classes: int, *, most_parts_bits: int) -> Self:
        """At most so many bins (at least 1), of the largest of so many probabilities."""
        up = min(_UP_OCTAVES, max(cells, 1))
        low = min(max(math.ceil(math.log2(classes)) - 1, 0), max(cells, 1) - up)
        parts = int(math.log2(max(cells // (low + up), 1)))
        return cls(low, up, min(parts, most_parts_bits))

    def __len__(self) -> int:
        return (self.low + self.up) << self.parts_bits

    @property
    def layout(self) -> NDArray[np.int64]:
        """What a kernel needs: the shift of the bits, the first place of each side, the count."""
        shift = _MANTISSA_BITS - self.parts_bits
        first = [_bits(2.0 ** -(octaves + 1)) >> shift for octaves in (self.low, self.up)]
        return np.array([shift, *first, self.low << self.parts_bits, len(self)], np.int64)

    def place(self, p: float) -> int:
        """The bin of a probability."""
        shift, low_first, up_first, lows, count = (int(each) for each in self.layout)
        if p < 0.5:
            return min(max((_bits(max(p, 0.0)) >> shift) - low_first, 0), max(lows - 1, 0))
        back = (_bits(max(1.0 - p, 0.0)) >> shift) - up_first
        return min(max(count - 1 - back, lows), count - 1)

    def edges(self) -> NDArray[np.float64]:
        """Where bins begin and end, from 0 to 1: one more than bins."""
        above = 1 - self._starts(self.up)[:0:-1]
        starts = np.concatenate([self._starts(self.low), [0.5], above])
        starts[0] = 0.0
        return np.append(starts, 1.0)

    def _starts(self, octaves: int) -> NDArray[np.float64]:
        parts = 1 << self.parts_bits
        places = np.arange(octaves << self.parts_bits)
        starts: NDArray[np.float64] = np.ldexp(
            1 + places % parts / parts, places // parts - octaves - 1
        )
        return starts


def _bits(x: float) -> int:
    return int(np.float64(x).view(np.int64))
