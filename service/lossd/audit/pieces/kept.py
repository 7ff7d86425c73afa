"""A bounded list of rows: the lowest by a key."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lossd.audit.ids import Ids, hash_of
from lossd.audit.pieces._piece import Arrays


class Kept:
    """At most `most` rows: those of the lowest key; of equal keys, of the lowest hash, then id.

    A row is a key (float64, or uint64 for a sample by hash), its id and a number in each of the
    named `columns` (float64 or int64, by `dtypes`).
    """

    def __init__(
        self, most: int, columns: dict[str, type[np.float64] | type[np.int64]], *, key: Any
    ) -> None:
        self._most, self._key = most, key
        self._dtypes = {"key": key, **columns}
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty(0, dtype) for name, dtype in self._dtypes.items()
        }
        self._ids: Ids | None = None
        self._is_sorted = True
        self._worst: Any = None  # the key that no row to come may be above

    def __len__(self) -> int:
        self._settle()
        return len(self._columns["key"])

    @property
    def ids(self) -> Ids:
        """The rows' ids, in the list's order."""
        self._settle()
        return np.empty(0, np.int64) if self._ids is None else self._ids

    def column(self, name: str) -> NDArray[Any]:
        """One column, or `key`, in the list's order."""
        self._settle()
        return self._columns[name]

    def add(self, key: NDArray[Any], ids: Ids, **columns: NDArray[Any]) -> None:
        """Offer rows; keys must not be NaN."""
        if self._worst is not None:
            low = np.flatnonzero(key <= self._worst)
            key, ids = key[low], ids[low]
            columns = {name: each[low] for name, each in columns.items()}
        if not len(key):
            return
        self._append(ids, {"key": key, **columns})
        if len(self._columns["key"]) > 2 * self._most + 1000:
            self._cut()

    def merge(self, other: Self) -> None:
        """Offer another's rows."""
        if other._ids is not None:
            self._append(other._ids, other._columns)
            self._cut()

    def arrays(self) -> Arrays:
        """Columns, and the ids as integers or as UTF-8 text and where each ends."""
        self._settle()
        found = dict(self._columns)
        if self._ids is None or self._ids.dtype == np.int64:
            return found | {"ids": self.ids}
        texts = [str(each).encode() for each in self._ids]
        ends = np.cumsum([len(each) for each in texts], dtype=np.int64)
        return found | {"id_text": np.frombuffer(b"".join(texts), np.uint8), "id_ends": ends}

    def restore(self, arrays: Arrays) -> None:
        """Become what was kept. Raises `ValueError`, `KeyError`."""
        ids = _ids_of(arrays)
        for name, dtype in self._dtypes.items():
            if arrays[name].dtype != dtype or arrays[name].shape != (len(ids),):
                raise ValueError(f"{name} is no column of {len(ids)} rows")
        if np.isnan(arrays["key"]).any():
            raise ValueError("a key is NaN")
        self._columns = {name: arrays[name].copy() for name in self._dtypes}
        self._ids = ids if len(ids) else None
        self._is_sorted = False
        self._settle()

    def _append(self, ids: Ids, columns: dict[str, NDArray[Any]]) -> None:
        if self._ids is not None and self._ids.dtype.kind != ids.dtype.kind:
            raise ValueError("ids are integers, or strings, and not both")
        self._ids = ids if self._ids is None else np.concatenate([self._ids, ids])
        self._is_sorted = False
        for name, dtype in self._dtypes.items():
            more = np.asarray(columns[name], dtype)
            self._columns[name] = np.concatenate([self._columns[name], more])

    def _settle(self) -> None:
        """Cut to the bound, and sort."""
        if self._ids is None or self._is_sorted:
            return
        self._cut()
        key = self._columns["key"]
        order = np.argsort(key, kind="stable")
        if (key[order[1:]] == key[order[:-1]]).any():
            order = self._order(np.arange(len(key)))
        self._take(order)
        self._is_sorted = True

    def _cut(self) -> None:
        """Leave at most the bound; rows of equal keys are compared only where it falls on them."""
        key = self._columns["key"]
        if len(key) < self._most:
            return
        self._worst = np.partition(key, self._most - 1)[self._most - 1]
        below, level = np.flatnonzero(key < self._worst), np.flatnonzero(key == self._worst)
        left = self._most - len(below)
        if len(level) > left:
            level = self._order(level)[:left]
        if len(key) > self._most:
            self._take(np.concatenate([below, level]))

    def _order(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows by key, hash, id, then all else."""
        assert self._ids is not None
        ids = self._ids[which]
        others = [each[which] for name, each in self._columns.items() if name != "key"]
        return which[np.lexsort([*others, ids, hash_of(ids), self._columns["key"][which]])]

    def _take(self, which: NDArray[np.int64]) -> None:
        assert self._ids is not None
        self._ids = self._ids[which]
        self._columns = {name: each[which] for name, each in self._columns.items()}


def _ids_of(arrays: Arrays) -> Ids:
    if "ids" in arrays:
        if arrays["ids"].dtype != np.int64 or arrays["ids"].ndim != 1:
            raise ValueError("ids are integers")
        return arrays["ids"].copy()
    text, ends = arrays["id_text"].tobytes(), arrays["id_ends"]
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    if ends.dtype != np.int64 or (ends < starts).any() or (len(ends) and ends[-1] != len(text)):
        raise ValueError("ids are not cut as they say")
    pairs = zip(starts.tolist(), ends.tolist(), strict=True)
    return np.array([text[start:stop].decode() for start, stop in pairs], np.str_)
