"""Counters and sums per value of a slice: bounded, by a rule that knows no order."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lossd.audit.ids import hash_of
from lossd.audit.pieces._piece import Arrays
from lossd.audit.pieces.sums import LIMBS, Sums, exact, normalise


class Keyed:
    """For each of at most `most` keys, counters and exact sums; what is cut goes to the others.

    The keys of the lowest hash stay. Which they are, and so what the others hold, depends only on
    which keys there are.
    """

    def __init__(self, most: int, *, counts: int, sums: int) -> None:
        self._most, self._counts, self._sums = most, counts, sums
        self._rows: dict[str, NDArray[np.int64]] = {}
        self._hashes: dict[str, int] = {}
        self._others = np.zeros(self._width, np.int64)
        self._highest: int | None = None  # the hash that no new key may be above

    @property
    def _width(self) -> int:
        return self._counts + LIMBS * self._sums

    @property
    def keys(self) -> list[str]:
        """In alphabetical order."""
        self._settle()
        return sorted(self._rows)

    def counts(self, key: str | None) -> NDArray[np.int64]:
        """The counters of a key; of the others, if it is None."""
        return self._row(key)[: self._counts]

    def sums(self, key: str | None) -> list[float]:
        """The sums of a key, each rounded once; of the others, if it is None."""
        return [float(each) for each in self.exactly(key)]

    def exactly(self, key: str | None) -> list[Fraction]:
        """The sums of a key, as they are; of the others, if it is None."""
        return [exact(each) for each in self._row(key)[self._counts :].reshape(-1, LIMBS)]

    def add(
        self,
        names: Sequence[str],
        codes: NDArray[np.int64],
        counts: Sequence[NDArray[Any]],
        sums: Sequence[NDArray[np.float64]],
    ) -> None:
        """Add rows, each to the key at its code among the names: ones or zeros, and numbers."""
        if len(names) > len(codes):  # many of a column's values are not among some of its rows
            found, codes = np.unique(codes, return_inverse=True)
            names = [names[i] for i in found.tolist()]
        block = np.zeros((len(names), self._width), np.int64)
        for i, each in enumerate(counts):
            block[:, i] = np.bincount(codes[np.asarray(each, bool)], minlength=len(names))
        for i, numbers in enumerate(sums):
            added = Sums(len(names))
            added.add(np.asarray(numbers, np.float64), codes)
            start = self._counts + LIMBS * i
            block[:, start : start + LIMBS] = added.limbs
        present = np.flatnonzero(np.bincount(codes, minlength=len(names))).tolist()
        self._take([names[i] for i in present], block[present])

    def merge(self, other: Self) -> None:
        """Add another's."""
        self._others += other._others
        if other._highest is not None:
            self._lower(other._highest)
        self._take(list(other._rows), np.array(list(other._rows.values())).reshape(-1, self._width))
        self._settle()

    def arrays(self) -> Arrays:
        """Keys as UTF-8 text and where each ends; the rows; the others."""
        self._settle()
        keys = self.keys
        texts = [key.encode() for key in keys]
        rows = np.array([self._rows[key] for key in keys], np.int64).reshape(-1, self._width)
        return {
            "key_text": np.frombuffer(b"".join(texts), np.uint8),
            "key_ends": np.cumsum([len(each) for each in texts], dtype=np.int64),
            "rows": rows,
            "others": self._others,
            "highest": np.array([] if self._highest is None else [self._highest], np.uint64),
        }

    def restore(self, arrays: Arrays) -> None:
        """Become what was kept. Raises `ValueError`, `KeyError`."""
        rows, others, ends = arrays["rows"], arrays["others"], arrays["key_ends"].tolist()
        if rows.shape != (len(ends), self._width) or others.shape != (self._width,):
            raise ValueError(f"not {len(ends)} keys of {self._width} numbers")
        if rows.dtype != np.int64 or others.dtype != np.int64:
            raise ValueError("not integers")
        text = arrays["key_text"].tobytes()
        starts = [0, *ends[:-1]]
        keys = [text[a:b].decode() for a, b in zip(starts, ends, strict=False)]
        self._others = others.copy()
        if len(arrays["highest"]):
            self._highest = int(arrays["highest"][0])
        self._take(keys, rows.copy())
        self._settle()

    def _row(self, key: str | None) -> NDArray[np.int64]:
        return self._others if key is None else self._rows[key]

    def _take(self, keys: Sequence[str], rows: NDArray[np.int64]) -> None:
        if not len(keys):
            return
        hashes = hash_of(np.array(keys, np.str_)).tolist()
        for key, hashed, row in zip(keys, hashes, rows, strict=True):
            if self._highest is not None and hashed > self._highest:
                self._others += row
            elif key in self._rows:
                self._rows[key] += row
            else:
                self._rows[key], self._hashes[key] = row.copy(), hashed
        if len(self._rows) > 2 * self._most:
            self._settle()

    def _settle(self) -> None:
        """Cut to the bound, and carry."""
        if len(self._rows) > self._most:
            kept = sorted(self._hashes.values())[: self._most]
            self._lower(kept[-1])
        for row in (self._others, *self._rows.values()):
            normalise(row[self._counts :].reshape(-1, LIMBS))

    def _lower(self, highest: int) -> None:
        """No key may have a hash above this."""
        self._highest = highest if self._highest is None else min(self._highest, highest)
        for key in [key for key, hashed in self._hashes.items() if hashed > self._highest]:
            self._others += self._rows.pop(key)
            del self._hashes[key]
