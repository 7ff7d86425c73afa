"""One softmax for several losses of it: rows are measured once, and pulled once.

What a loss needs of a row beyond its label are a few sums over the classes. Its gradient is a
polynomial of the exponentials and of their distances from the largest logit, but for the label's
own place; so those of several losses are added as coefficients, before anything is written.
"""

import math
from typing import Any

import numpy as np

from lossd.compiled import called, compiled
from lossd.engine.kernels._exponential import exp_of_negative
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import is_lane, lanes_of, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import LOWEST, ONE, PIECE, ZERO, largest, position

# The columns of what is measured of a row; d is the distance from the largest logit, e = exp(-d).
MOST = 0  # the largest logit
OTHERS = 1  # the sum of e but for the largest's own
FAR = 2  # of d e
SQUARES = 3  # of e^2 but for the largest's own
DISTANCES = 4  # of d, over the possible classes
POSSIBLE = 5  # their number
MEASURED = 6

# The columns of a gradient's coefficients: of e, e (e - 1), d e, and of every possible class. All
# but the first and last are exactly 0 at the largest, where a sure row's digits are.
OF_E, OF_SQUARE, OF_DISTANCE, OF_ALL = 0, 1, 2, 3
COEFFICIENTS = 4


@called()
def _measure_row(z: Any, most: np.float32, without: int, out: Any, row: Any) -> None:
    total, far, squares, distances, possible = 0.0, 0.0, 0.0, 0.0, 0.0
    nothing, one, tops = lanes_of(ZERO), lanes_of(ONE), lanes_of(most)
    for start in range(0, z.size, PIECE):
        of_e, of_far, of_squares, of_d, many = nothing, nothing, nothing, nothing, nothing
        for j in range(start, min(start + PIECE, z.size), 16):
            x = load(z, j, LOWEST)
            d = tops - x
            e = exp_of_negative(x - tops)
            if out.size:
                store(out, j, e)
            is_possible = x > lanes_of(LOWEST)
            of_d = of_d + where(is_possible, d, nothing)
            many = many + where(is_possible, one, nothing)
            of_far = of_far + where(e == nothing, nothing, e * d)
            e = where(is_lane(without - j), nothing, e)
            of_e = of_e + e
            of_squares = of_squares + e * e
        total += sum_of(of_e)
        far += sum_of(of_far)
        squares += sum_of(of_squares)
        distances += sum_of(of_d)
        possible += sum_of(many)
    row[MOST], row[OTHERS], row[FAR] = np.float64(most), total, far
    row[SQUARES], row[DISTANCES], row[POSSIBLE] = squares, distances, possible


@compiled("int64(float32[:, ::1], float64[:, ::1], float32[:, ::1])")
def measure(logits: Any, measured: Any, exponentials: Any) -> int:
    """What is measured of each row, and its exponentials unless they are empty.

    Fused checks: NaN, +inf, rows without a possible class.
    """
    for i in range(logits.shape[0]):
        z = logits[i]
        most = largest(z)
        place = position(z, most)
        if place < 0:
            return SUSPECT
        out = exponentials[i] if exponentials.size else z[:0]
        _measure_row(z, most, place, out, measured[i])
        if not (measured[i, OTHERS] < math.inf and measured[i, DISTANCES] < math.inf):
            return SUSPECT
    return FINE


@called()
def _pull_row(
    z: Any, most: np.float32, alike: float, square: float, distance: float, every: float, g: Any
) -> None:
    """Turn exponentials into gradients."""
    a, nothing = lanes_of(np.float32(alike)), lanes_of(ZERO)
    if square == 0.0 and distance == 0.0 and every == 0.0:
        for j in range(0, z.size, 16):
            store(g, j, load(g, j, ZERO) * a)
        return
    b, c = lanes_of(np.float32(square)), lanes_of(np.float32(distance))
    d, one = lanes_of(np.float32(every)), lanes_of(ONE)
    tops, lowest = lanes_of(most), lanes_of(LOWEST)
    for j in range(0, z.size, 16):
        x, e = load(z, j, LOWEST), load(g, j, ZERO)
        pulled = where(e == nothing, nothing, e * (a + b * (e - one) + c * (tops - x)))
        store(g, j, pulled + where(x > lowest, d, nothing))


@called()
def _at_label(z: Any, row: Any, label: int, labels: Any, coefficients: Any, own: Any) -> float:
    """The gradient at a label: the groups' own where it is theirs, else as at any other class."""
    alike, square, distance, every, found = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(labels.size):
        if labels[k] == label:
            found += own[k]
        else:
            alike += coefficients[k, OF_E]
            square += coefficients[k, OF_SQUARE]
            distance += coefficients[k, OF_DISTANCE]
            every += coefficients[k, OF_ALL]
    if labels.size == 1:
        return found
    d = row[MOST] - np.float64(z[label])
    e = math.exp(-d)
    if e > 0.0:
        found += e * (alike + square * (e - 1.0) + distance * d)
    return found + every if d < math.inf else found


@compiled(
    "int64(float32[:, ::1], float64[:, ::1], int64[:, ::1], float64[:, :, ::1], float64[:, ::1],"
    " float32[:, ::1])"
)
def pull(
    logits: Any, measured: Any, labels: Any, coefficients: Any, own: Any, gradient: Any
) -> int:
    """Turn exponentials into the gradient of all losses together.

    Losses of the same labels are a group, second axis of `labels`, `coefficients` and `own`, which
    is the gradient at the label. A label that is no class is none.
    """
    classes = logits.shape[1]
    groups = labels.shape[1]
    for i in range(logits.shape[0]):
        z, row, g, of = logits[i], measured[i], gradient[i], coefficients[i]
        alike, square, distance, every = 0.0, 0.0, 0.0, 0.0
        for k in range(groups):
            alike += of[k, OF_E]
            square += of[k, OF_SQUARE]
            distance += of[k, OF_DISTANCE]
            every += of[k, OF_ALL]
        _pull_row(z, np.float32(row[MOST]), alike, square, distance, every, g)
        for k in range(groups):
            label = labels[i, k]
            if 0 <= label < classes:
                g[label] = _at_label(z, row, label, labels[i], of, own[i])
    return FINE
