"""Rows by their confidence: 7905 fine bins, which collapse exactly to bins of equal width.

Confidences outside [0, 1], which are no probabilities, count as the nearest of both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit import _confidence_kernel as kernel
from lossd.audit.pieces import Counts, Piece, Sums
from lossd.audit.pieces.sums import exact
from lossd.audit.rows import Rows

EQUAL = kernel.EQUAL

Pieces = Mapping[str, Any]  # those of `empty`


@dataclass(frozen=True, slots=True)
class Bins:
    """Some bins, from low confidence to high: rows, right ones, sums of confidence (float64)."""

    count: NDArray[np.int64]
    correct: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Mean confidence minus accuracy; 0 of empty bins."""
        return (self.confidence - self.correct) / np.maximum(self.count, 1)


def empty() -> dict[str, Piece]:
    """Pieces for `add`: 0.4 MB."""
    return {"counts": Counts(2, kernel.BINS), "sums": Sums(kernel.BINS), "squares": Sums(1)}


def add(pieces: Pieces, rows: Rows) -> None:
    """Fold rows in."""
    kernel.add_confidences(
        rows.confidence,
        rows.correct,
        pieces["counts"].values,
        pieces["sums"].limbs,
        pieces["squares"].limbs,
    )


def fine(pieces: Pieces) -> Bins:
    """The fine bins."""
    return _grouped(pieces, np.arange(kernel.BINS)[::-1])


def equal_width(pieces: Pieces, bins: int) -> Bins:
    """Bins of equal width over [0, 1]. Each is (low, high]. `bins` divides `EQUAL`."""
    return _grouped(pieces, bins - 1 - _from_the_top() * bins // EQUAL)


def equal_mass(pieces: Pieces, bins: int) -> Bins:
    """Bins of nearly equal counts, of whole fine bins: rows of one confidence stay together."""
    count = pieces["counts"].values[0]
    rows = int(count.sum())
    above = np.cumsum(count) - count
    middle = 2 * above + np.maximum(count - 1, 0)  # twice the place of the bin's middle row
    from_below = (2 * rows - 2 - middle) * bins // max(2 * rows, 1)
    return _grouped(pieces, np.clip(from_below, 0, bins - 1))


def _from_the_top() -> NDArray[np.int64]:
    """For each fine bin: whole bins of 1 / `EQUAL` between it and 1."""
    narrow = np.arange(kernel.NARROW - 1)
    octave, part = np.divmod(narrow, kernel.PER_OCTAVE)
    lowest = np.ldexp(1.0 + part / kernel.PER_OCTAVE, octave + 5 - kernel.OCTAVES)
    ends = (np.zeros(1, np.int64), np.floor(lowest).astype(np.int64))
    return np.concatenate([*ends, np.arange(kernel.FINE, EQUAL)])


def _grouped(pieces: Pieces, groups: NDArray[np.int64]) -> Bins:
    counts, limbs = pieces["counts"].values, pieces["sums"].limbs
    bins = int(groups.max()) + 1
    together = np.zeros((bins, limbs.shape[1]), np.int64)
    np.add.at(together, groups, limbs)
    count, correct = np.zeros((2, bins), np.int64)
    np.add.at(count, groups, counts[0])
    np.add.at(correct, groups, counts[1])
    return Bins(count, correct, np.array([float(exact(each)) for each in together]))
