"""Exact means and covariances of vectors: a piece whose sums know no order."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lossd.audit.pieces import Arrays, Counts, Sums

MOST = 4096.0  # a feature beyond counts as this
_HIGH, _LOW = 2.0**8, 2.0**28  # a feature is n / _HIGH + m / _LOW, of integers up to 2^20
_ROWS = 1 << 12  # whose products of such integers add up below 2^53: exactly, in any order


class Covariances:
    """Sums of features, and of products of each two, of rows of finite numbers.

    Features are rounded to 2^-28. State: 32 bytes per pair of features.
    """

    __slots__ = ("_first", "_pairs", "_places", "_second", "counts")

    def __init__(self, features: int) -> None:
        self._pairs = np.triu_indices(features)
        self._places = np.arange(len(self._pairs[0]))
        self._first, self._second = Sums(features), Sums(len(self._places))
        self.counts = Counts(2)  # rows, and features that were beyond `MOST`

    def add(self, x: NDArray[Any]) -> None:
        """Add rows: (rows, features), finite."""
        for start in range(0, len(x), _ROWS):
            self._add(x[start : start + _ROWS].astype(np.float64))

    def _add(self, x: NDArray[np.float64]) -> None:
        self.counts.values[0] += len(x)
        self.counts.values[1] += np.count_nonzero(np.abs(x) > MOST)
        x = np.clip(x, -MOST, MOST)
        high = np.rint(x * _HIGH)
        low = np.rint((x - high / _HIGH) * _LOW)
        places = np.arange(x.shape[1])
        self._first.add(high.sum(0) / _HIGH, places)
        self._first.add(low.sum(0) / _LOW, places)
        both = high.T @ low
        scale = _HIGH * _LOW
        for product, unit in ((high.T @ high, _HIGH**2), (both, scale), (both.T, scale)):
            self._second.add(product[self._pairs] / unit, self._places)
        self._second.add((low.T @ low)[self._pairs] / _LOW**2, self._places)

    def mean(self) -> NDArray[np.float64]:
        """The mean of each feature; of one row at least."""
        return self._first.values() / float(self.counts.values[0])

    def covariance(self) -> NDArray[np.float64]:
        """The covariance, of rows - 1; of two rows at least."""
        rows = int(self.counts.values[0])
        first, second = self._first.exactly(), self._second.exactly()
        flat = [
            float((both - first[i] * first[j] / rows) / (rows - 1))
            for i, j, both in zip(*(each.tolist() for each in self._pairs), second, strict=True)
        ]
        found = np.zeros((len(first), len(first)))
        found[self._pairs] = flat
        found.T[self._pairs] = flat
        return found

    def merge(self, other: Self) -> None:
        """Add another's."""
        self._first.merge(other._first)
        self._second.merge(other._second)
        self.counts.merge(other.counts)

    def arrays(self) -> Arrays:
        """Limbs of both sums, and the counters."""
        return {
            "first": self._first.limbs,
            "second": self._second.limbs,
            "counts": self.counts.values,
        }

    def restore(self, arrays: Arrays) -> None:
        """Become what was kept. Raises `ValueError`, `KeyError`."""
        self._first.restore({"limbs": arrays["first"]})
        self._second.restore({"limbs": arrays["second"]})
        self.counts.restore({"values": arrays["counts"]})
