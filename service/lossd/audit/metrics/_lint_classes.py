"""Whether class numbers of labels and of scores mean the same: looks for a shift, a permutation."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.intervals import wilson

_LEAST_ROWS = 100
_LEAST_GAIN = 0.1  # of recall, averaged over the classes
_NEARLY_ALL = 0.9
_LEVEL = 0.9999  # of intervals that must not meet: this is looked for in every audit


@dataclass(frozen=True, slots=True)
class Renumbering:
    """Which predicted class each label seems to mean: pairs of those that are not the same.

    `shift` is by how much predictions are above the labels, modulo the number of classes; None
    where the pairs are of no such kind. Accuracies are of all rows, as they are and renumbered.
    """

    pairs: tuple[tuple[int, int], ...]
    shift: int | None
    accuracy_before: float
    accuracy_after: float

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "shift": self.shift,
            "pairs": [list(each) for each in self.pairs],
            "accuracy_before": self.accuracy_before,
            "accuracy_after": self.accuracy_after,
        }


def renumbering(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, most_classes: int
) -> Renumbering | None:
    """A renumbering of the classes that raises accuracy a lot; None where there is none.

    It is chosen on one half of the rows and measured on the other, so that it is not of chance.
    Above `most_classes` classes only shifts are looked for.
    """
    if len(labels) < _LEAST_ROWS:
        return None
    own, other = slice(0, None, 2), slice(1, None, 2)
    if classes <= most_classes:
        meant = _assignment(labels[own], predicted[own], classes)
    else:
        meant = _shifted(labels[own], predicted[own], classes)
    y, p = labels[other], predicted[other]
    before, after = p == y, p == meant[y]
    gain = _mean_recall(y, after, classes) - _mean_recall(y, before, classes)
    low, high = (wilson(int(each.sum()), len(y), _LEVEL) for each in (after, before))
    if gain < _LEAST_GAIN or low is None or high is None or low[0] <= high[1]:
        return None
    present = np.unique(labels)
    moved = [(int(each), int(meant[each])) for each in present if meant[each] != each]
    shift = _shift_of(moved, len(present), classes)
    before, after = predicted == labels, predicted == meant[labels]
    return Renumbering(tuple(moved), shift, float(before.mean()), float(after.mean()))


def _shift_of(moved: list[tuple[int, int]], present: int, classes: int) -> int | None:
    """By how much nearly all classes moved; one of few rows may seem to have moved elsewhere."""
    if classes == 2 or not moved:
        return None
    shifts = Counter((b - a) % classes for a, b in moved)
    ((shift, count),) = shifts.most_common(1)
    if count < _NEARLY_ALL * present:
        return None
    return shift - classes if shift > classes // 2 else shift


def _assignment(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """The permutation with the most rows on it; of equals, one that moves fewer classes."""
    from scipy.optimize import linear_sum_assignment

    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    # A class of few rows stays where it is unless they agree: its own number is worth half a row.
    worth = counts.reshape(classes, classes) + 0.5 * np.eye(classes)
    _, meant = linear_sum_assignment(worth, maximize=True)
    return np.asarray(meant, np.int64)


def _shifted(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    shift = int(np.bincount((predicted - labels) % classes).argmax())
    return (np.arange(classes) + shift) % classes


def _mean_recall(labels: NDArray[np.int64], right: NDArray[np.bool_], classes: int) -> float:
    count = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[right], minlength=classes)
    return float((hits[count > 0] / count[count > 0]).mean())
