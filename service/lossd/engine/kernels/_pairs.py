"""Similarities of every row with every other, in blocks of rows: what is measured, and gradients.

In a block, row i is row first + i of all, and its own partner is the column of that number.
"""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, compiled, inlined
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import is_lane, lanes_of, larger, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._logistic import softpluses
from lossd.engine.kernels._rows import (
    LOWEST,
    PIECE,
    ZERO,
    exp_and_sum,
    largest,
    log_of_total,
)

_MANY = 32  # terms that are added in float32 before the sum goes on in float64
_FARTHEST = np.float32(np.inf)


@compiled("int64(float32[:, ::1], int64, float32[::1], float64[::1])")
def measure_rows(similarity: Any, first: int, most: Any, rest: Any) -> int:
    """Each row's largest, and its sum of e^(z - largest) but for the row's own column.

    Fused checks: NaN, infinity.
    """
    for i in range(similarity.shape[0]):
        z = similarity[i]
        most[i] = largest(z)
        rest[i] = exp_and_sum(z, most[i], first + i, z[:0])
        if not rest[i] < math.inf or not abs(z[first + i]) < math.inf:
            return SUSPECT
    return FINE


@called()
def _raise_columns(similarity: Any, start: int, most: Any, rest: Any) -> None:
    """Take a block into the columns' largest, and refer their sums to these."""
    width = most.size
    raised = np.empty(width, np.float32)
    raised[:] = most
    for i in range(similarity.shape[0]):
        z = similarity[i, start : start + width]
        for j in range(0, width, 16):
            store(raised, j, larger(load(raised, j, LOWEST), load(z, j, LOWEST)))
    for j in range(width):
        if rest[j] != 0.0:
            rest[j] *= math.exp(np.float64(most[j]) - np.float64(raised[j]))
    most[:] = raised


@called()
def _add_columns(similarity: Any, first: int, start: int, most: Any, rest: Any) -> None:
    """Add e^(z - largest) of a block to the columns' sums, but for the columns' own rows."""
    width = most.size
    added = np.zeros(width, np.float32)
    nothing = lanes_of(ZERO)
    for i in range(similarity.shape[0]):
        z, own = similarity[i, start : start + width], first + i - start
        for j in range(0, width, 16):
            e = exp_of_negative(load(z, j, LOWEST) - load(most, j, ZERO))
            store(added, j, load(added, j, ZERO) + where(is_lane(own - j), nothing, e))
        if i % _MANY == _MANY - 1 or i == similarity.shape[0] - 1:
            for j in range(width):
                rest[j] += added[j]
            added[:] = ZERO


@compiled("int64(float32[:, ::1], int64, int64, float32[::1], float64[::1])")
def measure_columns(similarity: Any, first: int, start: int, most: Any, rest: Any) -> int:
    """Take a block into the largest, and the sums as in `measure_rows`, of columns from `start`.

    Before the first block these are -inf and 0.
    """
    for column in range(0, most.size, PIECE):
        stop = min(column + PIECE, most.size)
        of_piece, sums = most[column:stop], rest[column:stop]
        _raise_columns(similarity, start + column, of_piece, sums)
        _add_columns(similarity, first, start + column, of_piece, sums)
    return FINE


@inlined()
def _measured(most: np.float32, rest: float, own: np.float32) -> Any:
    """Minus the logarithm of the own one's share, the sum of all, and 1 minus the share."""
    lead = np.float64(most) - np.float64(own)
    e = math.exp(-lead)
    return lead + log_of_total(rest, e, lead), rest + e, rest / (rest + e)


@compiled(
    "int64(float32[::1], float32[::1], float64[::1], float32[::1], float64[::1], float32[::1],"
    " float64[::1], float32[::1], float32[::1], float32[::1])"
)
def settle_both(
    own: Any,
    most: Any,
    rest: Any,
    column_most: Any,
    column_rest: Any,
    outer: Any,
    values: Any,
    factors: Any,
    column_factors: Any,
    slopes: Any,
) -> int:
    """Values, the mean of a row's and of its partner's column's cross-entropy.

    And the factors of e^(z - largest) in the gradient, and the gradient by the row's own column.
    """
    for i in range(own.size):
        of_row, total, miss = _measured(most[i], rest[i], own[i])
        of_column, column_total, column_miss = _measured(column_most[i], column_rest[i], own[i])
        values[i] = 0.5 * (of_row + of_column)
        if not abs(values[i]) < math.inf:
            return SUSPECT
        half = 0.5 * np.float64(outer[i])
        factors[i] = half / total
        column_factors[i] = half / column_total
        slopes[i] = -half * (miss + column_miss)
    return FINE


@compiled(
    "int64(float32[:, ::1], int64, float32[::1], float32[::1], float32[::1], float32[::1],"
    " float32[::1])"
)
def pull_both(
    similarity: Any,
    first: int,
    most: Any,
    factors: Any,
    column_most: Any,
    column_factors: Any,
    slopes: Any,
) -> int:
    """Turn similarities into gradients. Columns beyond those that are measured have rows' alone."""
    for i in range(similarity.shape[0]):
        z = similarity[i]
        tops, of_row = lanes_of(most[i]), lanes_of(factors[i])
        for j in range(0, z.size, 16):
            x = load(z, j, LOWEST)
            g = exp_of_negative(x - tops) * of_row
            if j < column_most.size:
                e = exp_of_negative(x - load(column_most, j, _FARTHEST))
                g = g + e * load(column_factors, j, ZERO)
            store(z, j, g)
        z[first + i] = slopes[i]
    return FINE


@compiled(
    "int64(float32[:, ::1], int64, float32, float32[::1], boolean, float64[::1], float64[::1])"
)
def ask_each(
    similarity: Any,
    first: int,
    bias: np.float32,
    outer: Any,
    has_gradient: bool,
    values: Any,
    slopes: Any,
) -> int:
    """Values, the sums of log(1 + e^z) of a row, with -z at its own column; z is plus the bias.

    Turns similarities into gradients if there are any, and adds each row's up. Fused checks: NaN,
    infinity.
    """
    nothing, biases = lanes_of(ZERO), lanes_of(bias)
    for i in range(similarity.shape[0]):
        x, factors = similarity[i], lanes_of(outer[i])
        values[i] = slopes[i] = 0.0
        for start in range(0, x.size, PIECE):
            piece, of_slopes = nothing, nothing
            for j in range(start, min(start + PIECE, x.size), 16):
                z = load(x, j, LOWEST) + biases
                is_own = is_lane(first + i - j)
                value, slope = softpluses(where(is_own, nothing - z, z))
                slope = where(is_own, nothing - slope, slope)
                piece = piece + value
                of_slopes = of_slopes + slope
                if has_gradient:
                    store(x, j, slope * factors)
            values[i] += sum_of(piece)
            slopes[i] += sum_of(of_slopes)
        if not values[i] < math.inf:
            return SUSPECT
        slopes[i] *= np.float64(outer[i])
    return FINE
