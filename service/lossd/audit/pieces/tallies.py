"""Counters of numbered things, of which there may be more than can be counted."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from lossd.audit.ids import hash_of
from lossd.audit.pieces._piece import Arrays


class Tallies:
    """A counter for each of at most `most` numbers in [0, `below`); what is cut goes to `others`.

    The numbers of the lowest hash stay, whatever the order they come in.
    """

    def __init__(self, most: int, *, below: int) -> None:
        self._most, self._below = most, below
        self._numbers = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)
        self._others = 0
        self._highest: np.uint64 | None = None  # the hash that no number may be above

    @property
    def numbers(self) -> NDArray[np.int64]:
        """What is counted, ascending."""
        self._settle()
        return self._numbers

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each came."""
        self._settle()
        return self._counts

    @property
    def others(self) -> int:
        """How often those came that are not counted one by one."""
        self._settle()
        return self._others

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Count numbers."""
        self._take(numbers, np.ones(len(numbers), np.int64))

    def merge(self, other: Self) -> None:
        """Count another's."""
        other._settle()
        self._others += other._others
        if other._highest is not None:
            mine = other._highest if self._highest is None else self._highest
            self._highest = min(mine, other._highest)
        self._take(other._numbers, other._counts)
        self._settle()

    def arrays(self) -> Arrays:
        """Numbers, counts, the others, and the hash at which it is cut, if it is."""
        self._settle()
        return {
            "numbers": self._numbers,
            "counts": self._counts,
            "others": np.array([self._others], np.int64),
            "highest": np.array([] if self._highest is None else [self._highest], np.uint64),
        }

    def restore(self, arrays: Arrays) -> None:
        """Become what was kept. Raises `ValueError`, `KeyError`."""
        numbers, counts = arrays["numbers"], arrays["counts"]
        others, highest = arrays["others"], arrays["highest"]
        if any(each.dtype != np.int64 or each.ndim != 1 for each in (numbers, counts, others)):
            raise ValueError("not integers")
        if len(numbers) != len(counts) or len(others) != 1 or (counts < 0).any() or others[0] < 0:
            raise ValueError("not a counter for each number")
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self._below:
            raise ValueError(f"numbers are from 0 to below {self._below}")
        if highest.dtype != np.uint64 or highest.ndim != 1 or len(highest) > 1:
            raise ValueError("not a hash")
        self._numbers, self._counts = numbers.copy(), counts.copy()
        self._others = int(others[0])
        self._highest = highest[0] if len(highest) else None
        self._settle()

    def _take(self, numbers: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        if self._highest is not None:
            low = hash_of(numbers) <= self._highest
            self._others += int(counts[~low].sum())
            numbers, counts = numbers[low], counts[low]
        self._numbers = np.concatenate([self._numbers, numbers])
        self._counts = np.concatenate([self._counts, counts])
        if len(self._numbers) > 2 * self._most + 100_000:
            self._settle()

    def _settle(self) -> None:
        """One counter for each number, and no more than there may be."""
        numbers, places = np.unique(self._numbers, return_inverse=True)
        counts = np.zeros(len(numbers), np.int64)
        np.add.at(counts, places, self._counts)
        hashes = hash_of(numbers)
        if len(numbers) > self._most:
            last = np.partition(hashes, self._most - 1)[self._most - 1]
            self._highest = last if self._highest is None else min(self._highest, last)
        if self._highest is not None:
            low = hashes <= self._highest
            self._others += int(counts[~low].sum())
            numbers, counts = numbers[low], counts[low]
        self._numbers, self._counts = numbers, counts
