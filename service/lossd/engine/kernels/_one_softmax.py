"""Several losses of one tensor of logits, in blocks: measured, asked for each loss, and pulled."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.engine.kernels._blocks import NO_LABELS
from lossd.engine.kernels._job import FINE, SUSPECT
from lossd.engine.kernels._measured import COEFFICIENTS, MEASURED, measure, pull

BLOCK_ELEMENTS = 256 * 1024  # whose logits and exponentials stay in a core's cache


@dataclass(frozen=True, slots=True)
class Loss:
    """A function that `core_of_one_softmax` gives, and what it is called with.

    `outer` is what each row's value counts in the whole, (rows,) or (1,). Losses of the same
    `group` have the same labels, and are pulled as one.
    """

    core: Callable[..., int]
    constants: tuple[Any, ...]
    labels: NDArray[np.int64] | None
    group: Hashable
    outer: NDArray[np.float64]


class OneSoftmax:
    """The memory that losses share, and their `values`, (losses, rows)."""

    def __init__(
        self, logits: NDArray[np.float32], losses: Sequence[Loss], gradient: NDArray[np.float32]
    ) -> None:
        rows = len(logits)
        self._logits, self._losses, self._gradient = logits, losses, gradient
        of_group = {loss.group: loss.labels for loss in losses}
        place = {group: i for i, group in enumerate(of_group)}
        self._places = [place[loss.group] for loss in losses]
        self._labels = np.full((rows, len(place)), -1)
        for group, labels in of_group.items():
            if labels is not None:
                self._labels[:, place[group]] = labels
        self._measured = np.empty((rows, MEASURED))
        self._coefficients = np.zeros((rows, len(place), COEFFICIENTS))
        self._own = np.zeros((rows, len(place)))
        self.values = np.empty((len(losses), rows))

    def run(self, start: int, stop: int) -> int:
        """Rows from `start` to `stop`."""
        step = max(1, BLOCK_ELEMENTS // max(1, self._logits.shape[1]))
        for first in range(start, stop, step):
            if self._block(slice(first, min(first + step, stop))) & SUSPECT:
                return SUSPECT
        return FINE

    def _block(self, rows: slice) -> int:
        logits, measured, gradient = self._logits[rows], self._measured[rows], self._gradient[rows]
        found: int = measure(logits, measured, gradient)
        coefficients, own, all_values = self._coefficients[rows], self._own[rows], self.values
        for k in range(len(self._losses)):
            if found & SUSPECT:
                return found
            loss, place = self._losses[k], self._places[k]
            found |= loss.core(
                logits,
                measured,
                NO_LABELS if loss.labels is None else loss.labels[rows],
                *loss.constants,
                loss.outer if loss.outer.size == 1 else loss.outer[rows],
                all_values[k, rows],
                coefficients[:, place],
                own[:, place],
            )
        pull(logits, measured, self._labels[rows], coefficients, own, gradient)
        return found
