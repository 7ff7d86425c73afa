"""Histograms of any numbers: buckets of one relative width, whose counts merge as integers."""

import math
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lossd.audit._bucket_kernel import (
    BITS,
    INNER,
    LOWEST,
    MAGNITUDES,
    add_to_buckets,
)
from lossd.audit.pieces import Arrays

# Half a bucket over its low edge: how far off, relatively, a number between 2^-40 and 2^40 is that
# stands for its bucket. Below, it is off by 2^-40 at most.
VALUE_ERROR = 2.0 ** -(BITS + 1)
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_MOST_BINS = 64  # an edge k * 2^e with k up to 2^BITS is one of a bucket, so that bins are exact


class Buckets:
    """A piece of a state: `counts` of numbers between `lows` and `highs`, in ascending order.

    Numbers are float64, and must not be NaN. Each octave from 2^-40 to 2^40 has 64 buckets; 0, what
    is nearer to 0, what is farther, and the infinite have one each, on both sides if `signed`.
    Without, numbers below 0 count as 0.
    """

    __slots__ = ("_ends", "counts", "signed")

    def __init__(self, *, signed: bool = False) -> None:
        self.signed = signed
        self.counts: NDArray[np.int64] = np.zeros(_size(signed), np.int64)
        self._ends = np.array([math.inf, -math.inf])

    @property
    def lows(self) -> NDArray[np.float64]:
        """The lowest number of each bucket above 0, the limit of each below."""
        return _edges(self.signed)[0]

    @property
    def highs(self) -> NDArray[np.float64]:
        """The limit of each bucket above 0, the highest number of each below."""
        return _edges(self.signed)[1]

    @property
    def total(self) -> int:
        """How many numbers."""
        return int(self.counts.sum())

    @property
    def infinite(self) -> int:
        """How many of them were infinite."""
        return int(self.counts[-1]) + (int(self.counts[0]) if self.signed else 0)

    @property
    def minimum(self) -> float | None:
        """The lowest finite number, exactly; None of none."""
        return float(self._ends[0]) if self._ends[0] <= self._ends[1] else None

    @property
    def maximum(self) -> float | None:
        """The highest finite number, exactly; None of none."""
        return float(self._ends[1]) if self._ends[0] <= self._ends[1] else None

    def add(self, values: NDArray[np.float64]) -> None:
        """Count numbers."""
        values = np.ascontiguousarray(values, np.float64)
        add_to_buckets(values, values.view(np.int64), self.signed, self.counts, self._ends)

    def merge(self, other: Self) -> None:
        """Count another's."""
        self.counts += other.counts
        np.minimum(self._ends[0], other._ends[0], out=self._ends[:1])
        np.maximum(self._ends[1], other._ends[1], out=self._ends[1:])

    def arrays(self) -> Arrays:
        """Counters and the ends of the finite numbers."""
        return {"counts": self.counts, "ends": self._ends}

    def restore(self, arrays: Arrays) -> None:
        """Become what was kept. Raises `ValueError`, `KeyError`."""
        counts, ends = arrays["counts"], arrays["ends"]
        if counts.dtype != np.int64 or counts.shape != self.counts.shape or (counts < 0).any():
            raise ValueError(f"not the counters of {len(self.counts)} buckets")
        if ends.dtype != np.float64 or ends.shape != (2,) or np.isnan(ends).any():
            raise ValueError("not two ends")
        self.counts, self._ends = counts.copy(), ends.copy()

    def quantiles(self, shares: Sequence[float] = QUANTILES) -> dict[str, float | None]:
        """By each share as text, the lowest number that at least so many are not above.

        Off by `VALUE_ERROR` of itself at most; None where it is infinite, and of nothing.
        """
        return {str(share): self.quantile(share) for share in shares}

    def quantile(self, share: float) -> float | None:
        """The quantile at one share."""
        total = self.total
        if not total or self.minimum is None or self.maximum is None:
            return None
        rank = min(max(math.ceil(share * total), 1), total)
        place = int(np.searchsorted(np.cumsum(self.counts), rank))
        if math.isinf(self.lows[place]) and math.isinf(self.highs[place]):
            return None
        middle = (self.lows[place] + self.highs[place]) / 2
        return float(min(max(middle, self.minimum), self.maximum))

    def histogram(self, most: int = _MOST_BINS) -> dict[str, list[Any]]:
        """Bins to draw: `edges`, one more than `counts`. Empty of nothing; without the infinite.

        Edges are multiples of a power of 2, so that counts are exact and bins of two histograms
        nest; a number on an inner edge belongs to the bin farther from 0. From the 0.1 % to the
        99.9 % quantile there are at most `most` (up to 64); what is beyond has a bin on each side.
        """
        low, high = self.minimum, self.maximum
        if low is None or high is None:
            return {"edges": [], "counts": []}
        edges = _bins(low, high, self.quantile(0.001), self.quantile(0.999), min(most, _MOST_BINS))
        finite = np.isfinite(self.lows) | np.isfinite(self.highs)
        middles = (self.lows[finite] + self.highs[finite]) / 2
        middles = np.clip(middles, edges[0], np.nextafter(edges[-1], edges[0]))
        counts = np.bincount(
            np.searchsorted(edges, middles, side="right") - 1,
            self.counts[finite],
            minlength=len(edges) - 1,
        )
        return {"edges": edges.tolist(), "counts": counts.astype(np.int64).tolist()}


def _bins(
    low: float, high: float, near: float | None, far: float | None, most: int
) -> NDArray[np.float64]:
    """Edges from the lowest number to the highest, evenly between two quantiles."""
    near, far = low if near is None else near, high if far is None else far
    step = 2.0**LOWEST
    while max(-near, far) / step > 2 * _MOST_BINS or _stop(far / step) - near // step > most:
        step *= 2
    first, last = near // step, max(_stop(far / step), near // step + 1)
    edges = np.arange(first, last + 1) * step
    edges = np.concatenate([[low], edges]) if low < edges[0] else edges
    edges = np.concatenate([edges, [high]]) if high > edges[-1] else edges
    return np.clip(edges, -sys.float_info.max, sys.float_info.max)


def _stop(x: float) -> float:
    return -(-x // 1)


def _size(signed: bool) -> int:
    return 2 * MAGNITUDES - 1 if signed else MAGNITUDES


@cache
def _edges(signed: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    steps = np.arange(INNER + 1)
    inner = np.ldexp(1 + (steps % (1 << BITS)) / (1 << BITS), LOWEST + (steps >> BITS))
    lows = np.concatenate([[0.0, 0.0], inner, [math.inf]])
    highs = np.concatenate([[0.0], inner, [math.inf, math.inf]])
    if signed:
        lows, highs = (
            np.concatenate([-highs[:0:-1], lows]),
            np.concatenate([-lows[:0:-1], highs]),
        )
    lows.setflags(write=False)
    highs.setflags(write=False)
    return lows, highs
