"""Embeddings as they go into products, and the way back to the tensors that were given."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.kernels._directions import directions, take_back
from lossd.engine.memory import Buffers

Rows = Callable[[int, int], int]
InSlices = Callable[[Rows, int, int], int]


class Side:
    """One side of the products, (rows, features) of all given tensors, times a scale.

    `ready` is what goes into products, `gradient` what comes back by it, if any is wanted.
    """

    def __init__(
        self,
        given: Sequence[Tensor],
        buffers: Buffers,
        in_slices: InSlices,
        *,
        normalize: bool,
        scale: float = 1.0,
        differentiable: bool,
    ) -> None:
        self._in_slices, self._scale = in_slices, np.float32(scale)
        arrays = [x.float().contiguous().numpy() for x in given]
        x = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        self._unit, self._lengths = x, np.empty((0, 0), np.float32)
        if normalize:
            unit, lengths = buffers.take(x.shape, np.float32), np.empty((len(x), 2), np.float32)

            def rows(start: int, stop: int) -> int:
                return int(directions(x[start:stop], unit[start:stop], lengths[start:stop]))

            in_slices(rows, len(x), x.size)
            self._unit, self._lengths = unit, lengths
        self.ready = self._unit
        if scale != 1.0:
            self.ready = buffers.take(x.shape, np.float32)
            with np.errstate(over="ignore"):  # what float32 does not hold is infinite in it
                np.multiply(self._unit, self._scale, out=self.ready)
        self.gradient = buffers.take(x.shape, np.float32) if differentiable else None

    def take_back(self) -> tuple[NDArray[np.float32], float]:
        """The gradients of the given tensors, one after another, and that of the scale."""
        assert self.gradient is not None
        unit, lengths, gradient = self._unit, self._lengths, self.gradient
        products = np.empty(len(unit))

        def rows(start: int, stop: int) -> int:
            part = slice(start, stop)
            of_part = lengths[part] if lengths.size else lengths
            return int(take_back(unit[part], of_part, self._scale, gradient[part], products[part]))

        self._in_slices(rows, len(unit), unit.size)
        return gradient, float(products.sum())
