"""Exact sums of floats: the same bits in any order."""

from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lossd.audit.pieces._piece import Arrays
from lossd.compiled import called, compiled

LIMBS = 4
MOST = 2.0**62  # of one number; beyond it, it counts as this
_BASE, _MASK = 2.0**32, (1 << 32) - 1
_PIECE, _SMALL = 1 << 14, 2.0**16  # so many numbers, so small, times 2^32, do not fill an int64


class Sums:
    """Sums in fixed point, in units of 2^-64: every number is rounded once, to that, and no more.

    Of any shape; each is four limbs of 32 bits in int64, of which the first has the sign and room
    for 2^33 numbers of the largest, 2^62, which is what larger and infinite ones count as. Up to
    2^31 numbers are added at once. They must not be NaN.
    """

    __slots__ = ("limbs",)

    def __init__(self, *shape: int) -> None:
        self.limbs: NDArray[np.int64] = np.zeros((*shape, LIMBS), np.int64)

    def add(self, values: NDArray[np.float64], places: NDArray[np.int64] | None = None) -> None:
        """Add numbers, each to the sum at its place of the flat array; without, to the first."""
        flat = self.limbs.reshape(-1, LIMBS)
        if places is None:
            _add_up(np.ascontiguousarray(values), flat[0])
            normalise(flat[:1])
        elif len(places) < len(flat):
            _add_sparsely(np.ascontiguousarray(values), places, flat)
        else:
            _add_at(np.ascontiguousarray(values), places, flat)
            normalise(flat)

    def exactly(self) -> list[Fraction]:
        """The sums, flat, as they are."""
        return [exact(each) for each in self.limbs.reshape(-1, LIMBS)]

    def values(self) -> NDArray[np.float64]:
        """The sums, each rounded once."""
        whole = (_units(each) / (1 << 64) for each in self.limbs.reshape(-1, LIMBS).tolist())
        return np.fromiter(whole, np.float64).reshape(self.limbs.shape[:-1])

    def merge(self, other: Self) -> None:
        """Add another's."""
        self.limbs += other.limbs
        normalise(self.limbs.reshape(-1, LIMBS))

    def arrays(self) -> Arrays:
        """The limbs."""
        return {"limbs": self.limbs}

    def restore(self, arrays: Arrays) -> None:
        """Become what was kept. Raises `ValueError`."""
        found = arrays["limbs"]
        if found.dtype != np.int64 or found.shape != self.limbs.shape:
            raise ValueError(f"not sums of shape {self.limbs.shape}")
        self.limbs = found.copy()
        normalise(self.limbs.reshape(-1, LIMBS))


def exact(limbs: NDArray[np.int64]) -> Fraction:
    """What four limbs are."""
    return Fraction(_units(limbs.tolist()), 1 << 64)


def _units(limbs: list[int]) -> int:
    a, b, c, d = limbs
    return (a << 96) + (b << 64) + (c << 32) + d


def normalise(limbs: NDArray[np.int64]) -> None:
    """Carry, in place, so that equal sums have equal limbs. (sums, 4)."""
    for k in (3, 2, 1):
        limbs[:, k - 1] += limbs[:, k] >> 32
        limbs[:, k] &= _MASK


@called()
def split(x: float, limbs: Any) -> None:
    """Add a number to four limbs, which `normalise` is to be called on in the end."""
    # By magnitude: the remainder of a small negative number to a limb of -1 would be rounded.
    sign = -1 if x < 0.0 else 1
    x = min(abs(x), MOST) / _BASE
    for k in range(LIMBS):
        whole = np.floor(x) if k < LIMBS - 1 else np.rint(x)
        limbs[k] += sign * np.int64(whole)
        x = (x - whole) * _BASE


@compiled("void(float64[::1], int64[::1])")
def _add_up(values: Any, limbs: Any) -> None:
    """Pieces without large numbers, which are nearly all, are added up in the last three limbs."""
    for start in range(0, values.size, _PIECE):
        piece = values[start : start + _PIECE]
        large = 0
        for i in range(piece.size):
            large += not abs(piece[i]) < _SMALL
        if large:
            for i in range(piece.size):
                split(piece[i], limbs)
            continue
        high, low = np.int64(0), np.int64(0)
        for i in range(piece.size):
            x = piece[i] * _BASE
            whole = np.trunc(x)
            high += np.int64(whole)
            low += np.int64(np.rint((x - whole) * _BASE))
        limbs[1] += high >> 32
        limbs[2] += high & _MASK
        limbs[3] += low


@compiled("void(float64[::1], int64[::1], int64[:, ::1])")
def _add_at(values: Any, places: Any, limbs: Any) -> None:
    for i in range(values.size):
        split(values[i], limbs[places[i]])


@compiled("void(float64[::1], int64[::1], int64[:, ::1])")
def _add_sparsely(values: Any, places: Any, limbs: Any) -> None:
    """The same, of few numbers for many sums: each is carried where it was added."""
    for i in range(values.size):
        own = limbs[places[i]]
        split(values[i], own)
        for k in range(LIMBS - 1, 0, -1):
            own[k - 1] += own[k] >> 32
            own[k] &= _MASK
