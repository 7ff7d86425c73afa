"""Counts and sums by bins of confidence, and of the probability of each class.

Bins are half open, (low, high], as in Guo et al. 2017: 1 is in the last.
"""

import math
from typing import Any

import numpy as np

from lossd.compiled import compiled, inlined
from lossd.exponentials import exp_of_negative

EQUAL = 7200  # equal-width bins, which collapse to 10, 15, 20, 24, 25, ... of them
FINE = 32  # so many bins next to 1 are cut finer, into 16 per octave of 1 - confidence
OCTAVES = 46  # from 7200 * 2^-53, the least 1 - confidence but 0, to 32
PER_OCTAVE = 16
NARROW = 1 + PER_OCTAVE * OCTAVES  # bins below `FINE`; the first holds confidence 1 alone
BINS = NARROW + EQUAL - FINE

_UNIT, _MASK = 2.0**32, (1 << 32) - 1
_FLUSH = 1 << 18  # rows whose fixed-point sums fit beside each other
_FIXED = 2.0**44
_AT_ONCE = 1 << 10  # probabilities that are looked at together


@inlined()
def _bin_of(confidence: float) -> int:
    """From the highest confidence, 0, to the lowest."""
    away = (1.0 - confidence) * EQUAL
    if not away > 0.0:
        return 0
    if away >= FINE:
        return NARROW - FINE + min(int(away), EQUAL - 1)
    part, octave = math.frexp(away)
    return 1 + (octave + OCTAVES - 6) * PER_OCTAVE + int((2.0 * part - 1.0) * PER_OCTAVE)


@inlined()
def _add(x: float, limbs: Any) -> None:
    """Add a number in [0, 1] to a sum of `Sums`, and carry."""
    high = math.floor(x * _UNIT)
    low = limbs[3] + int(np.rint((x * _UNIT - high) * _UNIT))
    high = limbs[2] + int(high) + (low >> 32)
    limbs[3], limbs[2] = low & _MASK, high & _MASK
    whole = limbs[1] + (high >> 32)
    limbs[1] = whole & _MASK
    limbs[0] += whole >> 32


@compiled(
    "void(float64[::1], Array(boolean, 1, 'C', readonly=True), int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1])"
)
def add_confidences(confidence: Any, correct: Any, counts: Any, sums: Any, total: Any) -> None:
    """Add rows to (2, BINS) counts of all and of right ones, and to sums of their confidences.

    The first sum of `total` is of (confidence - correct)^2.
    """
    for i in range(confidence.size):
        each = min(max(confidence[i], 0.0), 1.0)
        place = _bin_of(each)
        counts[0, place] += 1
        counts[1, place] += correct[i]
        _add(each, sums[place])
        _add((each - correct[i]) ** 2, total[0])


@inlined()
def _flush(fixed: Any, sums: Any) -> None:
    for k in range(fixed.shape[0]):
        for b in range(fixed.shape[1]):
            limbs = sums[k, b]
            low = limbs[3] + ((fixed[k, b] & 4095) << 20)
            high = limbs[2] + (fixed[k, b] >> 12) + (low >> 32)
            limbs[3], limbs[2] = low & _MASK, high & _MASK
            whole = limbs[1] + (high >> 32)
            limbs[1] = whole & _MASK
            limbs[0] += whole >> 32
            fixed[k, b] = 0


@inlined()
def _look(scores: Any, shift: Any, logits: bool, first: int, bins: int, p: Any, place: Any) -> None:
    """Probabilities of some rows, and their bins."""
    for i in range(p.shape[0]):
        for k in range(p.shape[1]):
            p[i, k] = scores[first + i, k] - (shift[first + i] if logits else 0.0)
    flat, places = p.reshape(-1), place.reshape(-1)
    for i in range(flat.size):
        each = exp_of_negative(flat[i]) if logits else min(max(flat[i], 0.0), 1.0)
        flat[i] = each
        places[i] = min(max(np.int32(np.ceil(each * bins)) - 1, 0), bins - 1)


@inlined()
def _add_all(
    scores: Any, shift: Any, labels: Any, logits: bool, counts: Any, sums: Any, fixed: Any
) -> None:
    classes, bins = fixed.shape
    at_once = max(1, _AT_ONCE // classes)
    p, place = np.empty((at_once, classes)), np.empty((at_once, classes), np.int32)
    for first in range(0, labels.size, at_once):
        rows = min(at_once, labels.size - first)
        _look(scores, shift, logits, first, bins, p[:rows], place[:rows])
        for i in range(rows):
            for k in range(classes):
                counts[0, k, place[i, k]] += 1
                fixed[k, place[i, k]] += int(p[i, k] * _FIXED + 0.5)
            label = labels[first + i]
            counts[1, label, place[i, label]] += 1
            if (first + i) % _FLUSH == _FLUSH - 1:
                _flush(fixed, sums)
    _flush(fixed, sums)


@compiled(
    "void(Array(float32, 2, 'C', readonly=True), float64[::1], Array(int64, 1, 'C', readonly=True),"
    " boolean, int64[:, :, ::1], int64[:, :, ::1], int64[:, ::1])"
)
def add_classes_float32(
    scores: Any, shift: Any, labels: Any, logits: bool, counts: Any, sums: Any, fixed: Any
) -> None:
    """Add the probability of each class to (2, classes, bins) counts, all and right, and to sums.

    `fixed` is for the kernel: zeros of (classes, bins).
    """
    _add_all(scores, shift, labels, logits, counts, sums, fixed)


@compiled(
    "void(Array(float64, 2, 'C', readonly=True), float64[::1], Array(int64, 1, 'C', readonly=True),"
    " boolean, int64[:, :, ::1], int64[:, :, ::1], int64[:, ::1])"
)
def add_classes_float64(
    scores: Any, shift: Any, labels: Any, logits: bool, counts: Any, sums: Any, fixed: Any
) -> None:
    """The same of float64."""
    _add_all(scores, shift, labels, logits, counts, sums, fixed)
