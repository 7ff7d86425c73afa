"""Identities of rows: what ties are broken by, and what decides who is in a sample."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.compiled import compiled, inlined

Ids = NDArray[Any]  # int64, or strings of numpy (dtype U)

_STEP, _M1, _M2 = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
_A, _B, _C = np.uint64(30), np.uint64(27), np.uint64(31)


def hash_of(ids: Ids) -> NDArray[np.uint64]:
    """64 bits per id, the same on every machine: SplitMix64 of integers, chained for strings."""
    if ids.dtype == np.int64:
        found = np.empty(len(ids), np.uint64)
        _of_integers(np.ascontiguousarray(ids), found)
        return found
    width = ids.dtype.itemsize // 4
    if not width:
        return np.full(len(ids), _STEP, np.uint64)
    letters = np.ascontiguousarray(ids).view(np.uint32).reshape(len(ids), width)
    found = np.empty(len(ids), np.uint64)
    _of_letters(letters, found)
    return found


@inlined()
def _mixed(x: Any) -> Any:
    x = x + _STEP
    x = (x ^ (x >> _A)) * _M1
    x = (x ^ (x >> _B)) * _M2
    return x ^ (x >> _C)


@compiled("void(int64[::1], uint64[::1])")
def _of_integers(ids: Any, found: Any) -> None:
    for i in range(ids.size):
        found[i] = _mixed(np.uint64(ids[i]))


@compiled("void(uint32[:, ::1], uint64[::1])")
def _of_letters(letters: Any, found: Any) -> None:
    """Trailing zeros are padding, so that the hash does not depend on who else is in the array."""
    for i in range(letters.shape[0]):
        end = letters.shape[1]
        while end and letters[i, end - 1] == 0:
            end -= 1
        state = _STEP
        for j in range(end):
            state = _mixed(state ^ np.uint64(letters[i, j]))
        found[i] = state
