"""Losses of one value per element of two inputs of one shape: one driver, a formula for each.

A formula is an inlined function of sixteen elements of either input, of weights, and of four
constants. It returns the values and their slopes along the first input. The slope along the second
is the negative of it, for the losses of a difference, which are those that have a gradient there.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from numba import types

from lossd.compiled import compiled, inlined
from lossd.engine.kernels._half import FLOAT32, read, write
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import lanes_of, sum_of
from lossd.engine.kernels._loads import address_of, load_at, store_at, within
from lossd.engine.kernels._ranges import ALL, LARGEST, ONE, SIZE, exceed, more_of_bits
from lossd.engine.kernels._views import borrowed

BLOCK = 2048  # elements that are converted and computed at once, in the nearest cache
PIECE = 512  # elements that are added in float32 lanes before the sum goes on in float64
SHORT = 16  # of rows with fewer elements a block has several
SIGNS = 3  # beside the codes of `words_of`: int64 labels, of which -1 and 1 are good
_ZERO = np.float32(0)
_WORDS, _FLOATS, _DOUBLES = types.uint16[::1], types.float32[::1], types.float64[::1]
_INPUT = types.Tuple((_WORDS, types.int64))
_PAIRS = types.int64(
    types.int64,
    types.int64,
    types.float32[:, ::1],
    types.Tuple(
        (
            types.int64,
            *(_INPUT, _INPUT, _FLOATS, types.boolean, _FLOATS),
            *(types.Tuple((_FLOATS, types.int64)), _DOUBLES, _FLOATS, _INPUT, _INPUT),
        )
    ),
)


def compiled_rows(loss: str, formula: Callable[..., Any]) -> Any:
    """The rows of a loss, by its formula: `_rows` with that in place of `_formula`."""
    chunk = inlined()(FunctionType(_chunk.__code__, {**globals(), "_formula": formula}))
    rows = FunctionType(_rows.__code__, {**globals(), "_chunk": chunk})
    rows.__qualname__ = f"_rows_of_{loss}"  # the name that its machine code is kept by
    return compiled(_PAIRS)(rows)


def _formula(x: Any, y: Any, c: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    """Stands for a formula in `_chunk`."""
    raise NotImplementedError


def _chunk(places: Any, k: Any, factor: Any, found: Any, at: int, left: int) -> Any:
    """`found`, and what is found in sixteen elements, or as many as are left.

    It is the sum of values, and the largest bits of both inputs, of which the mask counts.
    """
    (a, b, c, v, g, h), (total, of_x, of_y, mask) = places, found
    x, y = load_at(a + at, left, _ZERO), load_at(b + at, left, _ZERO)
    value, slope = _formula(x, y, load_at(c + at, left, _ZERO), k[0], k[1], k[2], k[3])
    if v:
        store_at(v + at, left, value)
    slope = slope * factor
    if g:
        store_at(g + at, left, slope)
    if h:
        store_at(h + at, left, -slope)
    of_x = more_of_bits(of_x, x, np.uint32(SIZE))
    of_y = more_of_bits(of_y, y + _ZERO, mask)  # -0 becomes 0
    return total + within(left, value), of_x, of_y, mask


def _rows(start: int, stop: int, scratch: Any, arguments: Any) -> int:
    """Short rows in blocks of several, others in pieces."""
    scratch, arguments = borrowed(scratch), _borrowed(arguments)
    per_row, _, _, _, shares, constants, (outer, width), sums, values, _, _ = arguments
    k = constants[0], constants[1], constants[2], constants[3]
    mask, most = (np.uint32(ALL), ONE) if shares else (np.uint32(SIZE), LARGEST)
    is_short = per_row < SHORT
    step = BLOCK // per_row if is_short else 1
    found, none = FINE, lanes_of(_ZERO)
    for i in range(start, stop, step):
        rows = min(step, stop - i)
        factor = np.float32(1)
        if outer.size == 1 or (width == 1 and not is_short):
            factor = outer[min(i, outer.size - 1)]
        row_sum = 0.0
        for column in range(0, rows * per_row, BLOCK):
            first, count = i * per_row + column, min(BLOCK, rows * per_row - column)
            places = _open(arguments, scratch, column, first, count)
            seen = none, none, none, mask
            for piece in range(0, count, PIECE):
                for j in range(piece, min(piece + PIECE, count) - 15, 16):
                    seen = _chunk(places, k, factor, seen, 4 * j, 16)
                row_sum += sum_of(seen[0])
                seen = none, seen[1], seen[2], mask
            if count % 16:
                seen = _chunk(places, k, factor, seen, 4 * (count - count % 16), count % 16)
                row_sum += sum_of(seen[0])
            if exceed(seen[1], np.uint32(LARGEST)) or exceed(seen[2], np.uint32(most)):
                return SUSPECT
            found |= _close(arguments, scratch, places, i, rows, first, count)
        if is_short:
            _add(scratch[2], sums, values, i, rows, per_row)
        else:
            sums[i] = row_sum
    return found


@inlined()
def _borrowed(arguments: Any) -> Any:
    per_row, x, y, weights, shares, constants, outer, sums, values, gx, gy = arguments
    return (
        per_row,
        (borrowed(x[0]), x[1]),
        (borrowed(y[0]), y[1]),
        borrowed(weights),
        shares,
        borrowed(constants),
        (borrowed(outer[0]), outer[1]),
        borrowed(sums),
        borrowed(values),
        (borrowed(gx[0]), gx[1]),
        (borrowed(gy[0]), gy[1]),
    )


@inlined()
def _open(arguments: Any, scratch: Any, column: int, first: int, count: int) -> Any:
    """Addresses of both inputs, of the weights, and of where values and slopes go; 0 of nowhere."""
    per_row, x, y, weights, _, _, _, _, values, gx, gy = arguments
    v = 0
    if per_row < SHORT:
        v = address_of(scratch[2], 0)
    elif values.size:
        v = address_of(values, first)
    return (
        _floats(x, first, count, scratch[0]),
        _floats(y, first, count, scratch[1]),
        address_of(weights, column % weights.size),
        v,
        _slopes(gx, first, scratch[3]),
        _slopes(gy, first, scratch[4]),
    )


@inlined()
def _floats(x: Any, first: int, count: int, scratch: Any) -> Any:
    """The address of some elements, as they are or converted in the scratch."""
    words, code = x
    if code == FLOAT32:
        return address_of(words, 2 * first)
    if code == SIGNS:
        labels = words[4 * first : 4 * (first + count)].view(np.int64)
        for j in range(count):  # a bad label becomes NaN, which is in no range
            side = np.float32(1) if labels[j] == 1 else np.float32(np.nan)
            scratch[j] = np.float32(-1) if labels[j] == -1 else side
    else:
        read(words, code, first, count, scratch)
    return address_of(scratch, 0)


@inlined()
def _slopes(gradient: Any, first: int, scratch: Any) -> Any:
    words, code = gradient
    if not words.size:
        return 0
    return address_of(words, 2 * first) if code == FLOAT32 else address_of(scratch, 0)


@inlined()
def _close(
    arguments: Any, scratch: Any, places: Any, i: int, rows: int, first: int, count: int
) -> int:
    """Multiply the slopes by what rows or items count that differs within a block; round them."""
    per_row, _, _, _, _, _, (outer, width), _, _, gx, gy = arguments
    if outer.size > 1 and (width > 1 or per_row < SHORT):
        factors = address_of(outer, first)
        if width != per_row:
            factors = address_of(scratch[5], 0)
            for r in range(rows):
                scratch[5, r * per_row : (r + 1) * per_row] = outer[i + r]
        for g in (places[4], places[5]):
            for j in range(0, count if g else 0, 16):
                left = count - j
                slope = load_at(g + 4 * j, left, _ZERO) * load_at(factors + 4 * j, left, _ZERO)
                store_at(g + 4 * j, left, slope)
    found = FINE
    if gx[0].size and gx[1] != FLOAT32:
        found |= write(scratch[3][:count], gx[0], gx[1], first)
    if gy[0].size and gy[1] != FLOAT32:
        found |= write(scratch[4][:count], gy[0], gy[1], first)
    return found


@inlined()
def _add(v: Any, sums: Any, values: Any, i: int, rows: int, per_row: int) -> None:
    for r in range(rows):
        total = _ZERO
        for j in range(r * per_row, (r + 1) * per_row):
            total += v[j]
            if values.size:
                values[i * per_row + j] = v[j]
        sums[i + r] = total
