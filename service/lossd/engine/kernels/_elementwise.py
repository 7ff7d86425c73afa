"""Losses of one value per element of two inputs of one shape: one driver, a formula for each.

A formula is an inlined function of one element of either input, of a weight, and of four constants.
It returns the value and its slope along the first input. The slope along the second is the negative
of it, for the losses of a difference, which are those that have a gradient there.
"""

import math
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
import torch
from numba import types
from numpy.typing import NDArray
from torch import Tensor

from lossd.compiled import SUMS, compiled, inlined
from lossd.engine.kernels._arrays import as_array
from lossd.engine.kernels._half import FLOAT16, FLOAT32, read, room, words_of, write
from lossd.engine.kernels._job import FINE, SUSPECT, Job, Rows
from lossd.engine.kernels._ranges import ALL, LARGEST, ONE, SIZE, more_of_bits
from lossd.engine.kernels._views import borrowed
from lossd.schema import Call

# What stands in a vector and what is left over at its end must round alike: nothing is reordered.
AS_WRITTEN: frozenset[str] = frozenset()
BLOCK = 2048  # elements that are converted and computed at once, in the nearest cache
NO_WEIGHTS: NDArray[np.float32] = np.ones(BLOCK, np.float32)
_ZERO = np.float32(0)
_SIGNS = 3  # beside the codes of `words_of`: int64 labels, of which -1 and 1 are good
_NO_FLOATS: NDArray[np.float32] = np.empty(0, np.float32)
_NO_WORDS: NDArray[np.uint16] = np.empty(0, np.uint16)
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


def applies(call: Call) -> bool:
    """Every call that a kernel may compute at all."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1 each."""
    return 1.0


def bind_pairs(
    rows: Callable[..., Any],
    call: Call,
    job: Job,
    first: str,
    second: str,
    *,
    constants: tuple[float, ...] = (),
    weights: NDArray[np.float32] = NO_WEIGHTS,
    shares: bool = False,
) -> Rows:
    """A function of start and stop.

    The second input must be from 0 to 1 if they are `shares`. Weights are those of a row's
    elements, as `weights_of` gives them.
    """
    per_row = math.prod(call.item_shape[1:])
    return partial(
        _call,
        rows,
        (
            per_row,
            _words(call.inputs[first]),
            _words(call.inputs[second]),
            weights,
            shares,
            np.array((*constants, *([0.0] * (4 - len(constants)))), np.float32),
            (job.outer.reshape(-1), job.outer.shape[1]),
            job.sums,
            _NO_FLOATS if job.values is None else job.values.reshape(-1),
            _gradient(job, first),
            _gradient(job, second),
        ),
    )


def weights_of(row: Tensor, per_row: int) -> NDArray[np.float32]:
    """Weights of the elements of one row, repeated for a block of short rows."""
    repeats = max(1, BLOCK // per_row)
    return np.tile(row.to(torch.float32).reshape(-1).numpy(), repeats)


def compiled_rows(loss: str, of_element: Callable[..., Any]) -> Any:
    """The rows of a loss, by its formula: `_rows` with that in place of `_of_element`."""
    rows = FunctionType(_rows.__code__, {**globals(), "_of_element": of_element})
    rows.__qualname__ = f"_rows_of_{loss}"  # the name that its machine code is kept by
    return compiled(_PAIRS, AS_WRITTEN)(rows)


def _call(rows: Callable[..., Any], arguments: tuple[Any, ...], start: int, stop: int) -> int:
    return int(rows(start, stop, np.empty((5, BLOCK), np.float32), arguments))


def _words(x: Tensor) -> tuple[NDArray[np.uint16], int]:
    if x.is_floating_point():
        return words_of(as_array(x))
    return as_array(x).reshape(-1).view(np.uint16), _SIGNS


def _gradient(job: Job, key: str) -> tuple[NDArray[np.uint16], int]:
    return words_of(job.gradients[key]) if key in job.gradients else (_NO_WORDS, FLOAT32)


def _of_element(x: Any, y: Any, c: Any, k0: Any, k1: Any, k2: Any, k3: Any) -> Any:
    """Stands for a formula in `_rows`."""
    raise NotImplementedError


def _rows(start: int, stop: int, scratch: Any, arguments: Any) -> int:
    """Rows in blocks of several, or in pieces of a long one."""
    scratch, arguments = borrowed(scratch), _borrowed(arguments)
    per_row, _, _, _, shares, constants, outer, sums, _, _, (other, _) = arguments
    k0, k1, k2, k3 = constants[0], constants[1], constants[2], constants[3]
    mask, most = (np.uint32(ALL), ONE) if shares else (np.uint32(SIZE), LARGEST)
    factor = outer[0][0] if outer[0].size == 1 else np.float32(1)
    step = max(1, BLOCK // per_row)
    found = FINE
    for i in range(start, stop, step):
        rows = min(step, stop - i)
        if per_row > BLOCK:
            sums[i] = 0.0
        for column in range(0, per_row, BLOCK):
            at, count = i * per_row + column, min(BLOCK, rows * per_row - column)
            a, b, c, v, g, h = _open(arguments, scratch, column, at, count)
            of_x = of_y = np.uint32(0)
            for j in range(count):
                x, y = a[j], b[j]
                v[j], slope = _of_element(x, y, c[j], k0, k1, k2, k3)
                g[j] = slope * factor
                if other.size:
                    h[j] = -(slope * factor)
                of_x = more_of_bits(of_x, x, np.uint32(SIZE))
                of_y = more_of_bits(of_y, y + _ZERO, mask)  # -0 becomes 0
            if of_x > LARGEST or of_y > most:
                return SUSPECT
            found |= _close(arguments, scratch, i, rows, at, v, g, h)
    return found


@inlined(AS_WRITTEN)
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


@inlined(AS_WRITTEN)
def _open(arguments: Any, scratch: Any, column: int, at: int, count: int) -> Any:
    """Both inputs and the weights of a block, and where values and slopes go."""
    _, x, y, weights, _, _, _, _, values, gradient, other = arguments
    a, b = read(x[0], x[1], at, count, scratch[0]), _second(y[0], y[1], at, count, scratch[1])
    c = weights[column % weights.size :][:count]
    v = values[at : at + count] if values.size else scratch[2][:count]
    g = _slopes(gradient, at, count, scratch[3])
    return a, b, c, v, g, _slopes(other, at, count, scratch[4])


@inlined(AS_WRITTEN)
def _slopes(gradient: Any, at: int, count: int, scratch: Any) -> Any:
    words, code = gradient
    return room(words, code if words.size else FLOAT16, at, count, scratch)


@inlined(AS_WRITTEN)
def _close(arguments: Any, scratch: Any, i: int, rows: int, at: int, v: Any, g: Any, h: Any) -> int:
    """Sum the values; multiply the slopes by what their rows or items count, and write them."""
    per_row, _, _, _, _, _, outer, sums, _, gx, gy = arguments
    _add(v, sums, i, rows, per_row)
    if outer[0].size > 1:
        _multiply(g, outer, i, rows, per_row, at)
        if gy[0].size:
            _multiply(h, outer, i, rows, per_row, at)
    found = FINE
    if gx[0].size:
        found |= write(g, gx[0], gx[1], at)
    if gy[0].size:
        found |= write(h, gy[0], gy[1], at)
    return found


@inlined(AS_WRITTEN)
def _second(words: Any, code: int, first: int, count: int, scratch: Any) -> Any:
    """As `read`; a bad label becomes NaN, which is in no range."""
    if code != _SIGNS:
        return read(words, code, first, count, scratch)
    labels = words[4 * first : 4 * (first + count)].view(np.int64)
    found = scratch[:count]
    for j in range(count):
        side = np.float32(1) if labels[j] == 1 else np.float32(np.nan)
        found[j] = np.float32(-1) if labels[j] == -1 else side
    return found


@inlined(AS_WRITTEN)
def _multiply(g: Any, outer: Any, i: int, rows: int, per_row: int, at: int) -> None:
    factors, width = outer
    if width == per_row:
        for j in range(g.size):
            g[j] *= factors[at + j]
    elif per_row >= BLOCK:
        for j in range(g.size):
            g[j] *= factors[i]
    else:
        for r in range(rows):
            for j in range(r * per_row, (r + 1) * per_row):
                g[j] *= factors[i + r]


@inlined(AS_WRITTEN)
def _add(v: Any, sums: Any, i: int, rows: int, per_row: int) -> None:
    if per_row > BLOCK:
        sums[i] += _total(v)
    elif per_row == 1:
        for j in range(rows):
            sums[i + j] = v[j]
    else:
        for r in range(rows):
            sums[i + r] = _total(v[r * per_row : (r + 1) * per_row])


@inlined(SUMS)
def _total(x: Any) -> float:
    total = np.float32(0)
    for j in range(x.size):
        total += x[j]
    return np.float64(total)
