"""Rows by direction alone, as the losses' own `direction` has them, and the gradient through it."""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, compiled
from lossd.engine.kernels._job import FINE
from lossd.engine.kernels._lanes import lanes_of, larger, largest_of, sum_of
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import PIECE, ZERO


@called()
def _largest_size(x: Any) -> Any:
    found = lanes_of(ZERO)
    for j in range(0, x.size, 16):
        z = load(x, j, ZERO)
        found = larger(larger(found, z), lanes_of(ZERO) - z)
    return largest_of(found)


@called()
def _dot(x: Any, y: Any) -> float:
    total = 0.0
    for start in range(0, x.size, PIECE):
        piece = lanes_of(ZERO)
        for j in range(start, min(start + PIECE, x.size), 16):
            piece = piece + load(x, j, ZERO) * load(y, j, ZERO)
        total += sum_of(piece)
    return total


@called()
def _divide(x: Any, divisor: np.float32, out: Any) -> None:
    divisors = lanes_of(divisor)
    for j in range(0, x.size, 16):
        store(out, j, load(x, j, ZERO) / divisors)


@compiled("int64(float32[:, ::1], float32[:, ::1], float32[:, ::1])")
def directions(x: Any, out: Any, lengths: Any) -> int:
    """Each row over its length, which is written as two factors; a zero row stays, with 0 and 0."""
    for i in range(x.shape[0]):
        size = _largest_size(x[i])
        if size == ZERO:
            out[i] = lengths[i] = ZERO
            continue
        # Over the largest size first: the squares of 1e20 and of 1e-30 are lost in float32.
        _divide(x[i], size, out[i])
        length = np.float32(math.sqrt(_dot(out[i], out[i])))
        _divide(out[i], length, out[i])
        lengths[i, 0], lengths[i, 1] = size, length
    return FINE


@compiled(
    "int64(float32[:, ::1], float32[:, ::1], float32, float32[:, ::1], float64[::1])",
)
def take_back(unit: Any, lengths: Any, scale: np.float32, gradient: Any, products: Any) -> int:
    """Turn gradients by scale times `unit` into those by what these are directions of, in place.

    Without lengths they are no directions but rows as they were given. `products` are those of
    each row with its gradient, which add up to the gradient of the scale.
    """
    scales = lanes_of(scale)
    for i in range(unit.shape[0]):
        u, g = unit[i], gradient[i]
        products[i] = _dot(u, g)
        along, divisors, further = lanes_of(ZERO), lanes_of(np.float32(1)), lanes_of(np.float32(1))
        if lengths.size:
            if lengths[i, 0] == ZERO:
                gradient[i] = ZERO
                continue
            along = lanes_of(np.float32(products[i]))
            further, divisors = lanes_of(lengths[i, 0]), lanes_of(lengths[i, 1])
        for j in range(0, u.size, 16):
            across = load(g, j, ZERO) - load(u, j, ZERO) * along
            store(g, j, across * scales / divisors / further)
    return FINE
