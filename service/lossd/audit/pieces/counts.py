"""Counters."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from lossd.audit.pieces._piece import Arrays


class Counts:
    """int64 counters of one shape, in `values`; added to in place."""

    __slots__ = ("values",)

    def __init__(self, *shape: int) -> None:
        self.values: NDArray[np.int64] = np.zeros(shape, np.int64)

    def add_at(self, places: NDArray[np.int64]) -> None:
        """Count places of the flat array; a place may come many times."""
        flat = self.values.reshape(-1)
        if len(places) < flat.size // 4:  # or else adding up the zeros would cost more
            np.add.at(flat, places, 1)
        else:
            flat += np.bincount(places, minlength=flat.size)

    def merge(self, other: Self) -> None:
        """Add another's."""
        self.values += other.values

    def arrays(self) -> Arrays:
        """The counters."""
        return {"values": self.values}

    def restore(self, arrays: Arrays) -> None:
        """Become what was kept. Raises `ValueError`."""
        found = arrays["values"]
        if found.dtype != np.int64 or found.shape != self.values.shape or (found < 0).any():
            raise ValueError(f"not counters of shape {self.values.shape}")
        self.values = found.copy()
