"""Passes over a row of float32 that several kernels make."""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, inlined
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._lanes import any_of, is_lane, lanes_of, larger, largest_of, sum_of, where
from lossd.engine.kernels._loads import load, prefetch, store

PIECE = 512  # terms that are added in float32 lanes before the sum goes on in float64
ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-np.inf)


@called()
def largest(z: Any) -> Any:
    """The largest of a row; NaNs are passed over."""
    found = lanes_of(LOWEST)
    for j in range(0, z.size, 16):
        found = larger(found, load(z, j, LOWEST))
    return largest_of(found)


@called()
def position(z: Any, value: np.float32) -> int:
    """Where a row first holds a value; -1 if nowhere."""
    wanted = lanes_of(value)
    for j in range(0, z.size, 16):
        if any_of(load(z, j, LOWEST) == wanted):
            for k in range(j, min(j + 16, z.size)):
                if z[k] == value:
                    return k
    return -1


@called()
def exp_and_sum(z: Any, shift: np.float32, without: int, out: Any) -> float:
    """The sum of e^(z - shift) but for the one at `without`, which may be nowhere.

    The exponentials are written to `out`, unless it is empty; all of them.
    """
    total = 0.0
    shifts, nothing = lanes_of(shift), lanes_of(ZERO)
    for start in range(0, z.size, PIECE):
        piece = lanes_of(ZERO)
        for j in range(start, min(start + PIECE, z.size), 16):
            prefetch(z, j + z.size)  # the next row comes while this one is computed
            e = exp_of_negative(load(z, j, LOWEST) - shifts)
            if out.size:
                store(out, j, e)
            piece = piece + where(is_lane(without - j), nothing, e)
        total += sum_of(piece)
    return total


@called()
def multiply(x: Any, factor: float) -> None:
    """Multiply in place."""
    factors = lanes_of(np.float32(factor))
    for j in range(0, x.size, 16):
        store(x, j, load(x, j, ZERO) * factors)


@called()
def distribution_is_sound(t: Any, tolerance: float) -> bool:
    """Whether all are in [0, 1], and their sum in all doubt is within a tolerance of 1.

    A tolerance of infinity is none.
    """
    zero, one = lanes_of(ZERO), lanes_of(ONE)
    least, most = zero, one
    total = 0.0
    for start in range(0, t.size, PIECE):
        piece = zero
        for j in range(start, min(start + PIECE, t.size), 16):
            x = load(t, j, ZERO)
            piece = piece + x
            most = larger(most, x)
            least = where(x < least, x, least)
        total += sum_of(piece)
    # A NaN is in no comparison, but in the sum.
    in_range = not any_of(least < zero) and not any_of(most > one)
    return in_range and abs(total - 1.0) < 0.9 * tolerance


@inlined()
def log_of_total(rest: float, own: float, lead: float) -> float:
    """The logarithm of the sum of e^(z - most), exact also where one term is nearly all of it.

    `own` is the term that `rest` is without, and `lead` how far its logit is from the largest.
    """
    return math.log1p(rest) if lead == 0.0 else math.log(rest + own)


@called()
def all_finite(z: Any) -> Any:
    """Whether none is NaN or infinite."""
    zero = lanes_of(ZERO)
    found = zero
    for j in range(0, z.size, 16):
        found = found + load(z, j, ZERO) * zero
    return not any_of(found != zero)


@called()
def largest_or_nan(z: Any, zeros: Any) -> Any:
    """The largest of a row; NaN if any is. Writes zeros meanwhile, unless they are empty."""
    most, nans = lanes_of(LOWEST), lanes_of(ZERO)
    for j in range(0, z.size, 16):
        x = load(z, j, LOWEST)
        most = larger(most, x)
        nans = where(x != x, lanes_of(ONE), nans)
        if zeros.size:
            store(zeros, j, lanes_of(ZERO))
    return np.float32(np.nan) if any_of(nans == lanes_of(ONE)) else largest_of(most)
