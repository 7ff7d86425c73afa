"""MDCA: the exponentials of all rows are kept, summed by class, and pulled by the sums' signs."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import called, compiled
from lossd.engine.kernels._blocks import Work, binder_of_whole
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._lanes import is_lane, lanes_of, sum_of, where
from lossd.engine.kernels._loads import load, store
from lossd.engine.kernels._rows import PIECE, ZERO, all_finite, exp_and_sum, largest, position
from lossd.schema import Call


def applies(call: Call) -> bool:
    """Every call."""
    return True


def weigh(call: Call) -> NDArray[np.float64] | float:
    """1: there is one value."""
    return 1.0


def work(call: Call) -> Work:
    """What computes the call."""
    return Work(_miscalibrated, ("logits",), ("logits",), "labels")


bind = binder_of_whole(work)


@called()
def _add(e: Any, inverse: float, sums: Any) -> None:
    for k in range(e.size):
        sums[k] += np.float64(e[k]) * inverse


@called()
def _signed_sum(e: Any, side: Any, without: int) -> float:
    """The sum of side e but for one class."""
    total, nothing = 0.0, lanes_of(ZERO)
    for start in range(0, e.size, PIECE):
        piece = nothing
        for j in range(start, min(start + PIECE, e.size), 16):
            signed = load(e, j, ZERO) * load(side, j, ZERO)
            piece = piece + where(is_lane(without - j), nothing, signed)
        total += sum_of(piece)
    return total


@called()
def _pull(e: Any, side: Any, own_side: np.float32, center: float, factor: float) -> None:
    """Turn exponentials into factor e (side - own_side + center)."""
    own, centers = lanes_of(own_side), lanes_of(np.float32(center))
    factors = lanes_of(np.float32(factor))
    for j in range(0, e.size, 16):
        pulled = (load(side, j, ZERO) - own) + centers
        store(e, j, load(e, j, ZERO) * factors * pulled)


@compiled("int64(float32[:, ::1], int64[::1], float32[:], float64[::1], float32[:, ::1])")
def _miscalibrated(logits: Any, labels: Any, outer: Any, values: Any, gradient: Any) -> int:
    """The mean over classes of |sum_i (p_ik - [y_i = k])| / rows.

    The largest class of a row is kept out of its sums: what its probability lacks to 1 is theirs.
    Fused checks: logits that are not finite, labels.
    """
    rows, classes = logits.shape
    sums, side = np.zeros(classes), np.empty(classes, np.float32)
    places, totals = np.empty(rows, np.int64), np.empty(rows)
    scratch = np.empty(0 if gradient.size else classes, np.float32)
    for i in range(rows):
        z, label = logits[i], labels[i]
        if not 0 <= label < classes:
            return SUSPECT
        e = gradient[i] if gradient.size else scratch
        most = largest(z)
        places[i] = position(z, most)
        others = exp_and_sum(z, most, places[i], e)
        if not (all_finite(z) and others < math.inf):
            return SUSPECT
        totals[i] = total = 1.0 + others
        lead = np.float64(most) - np.float64(z[label])
        miss = (others if lead == 0.0 else total - math.exp(-lead)) / total
        before = sums[label]
        _add(e, 1.0 / total, sums)
        sums[label] = before - miss
    off = 0.0
    for k in range(classes):
        off += abs(sums[k])
        side[k] = np.sign(sums[k])
    values[0] = off / (rows * classes)
    for i in range(rows if gradient.size else 0):
        own_side = side[places[i]]
        center = np.float64(own_side) * (totals[i] - 1.0)
        center -= _signed_sum(gradient[i], side, places[i])
        factor = np.float64(outer[0]) / (rows * classes * totals[i])
        _pull(gradient[i], side, own_side, center / totals[i], factor)
    return FINE
