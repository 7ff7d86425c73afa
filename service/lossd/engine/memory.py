"""Large buffers that are used again: new memory costs more in page faults than a pass over it."""

import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LEAST_BYTES = 1 << 20  # smaller ones are as cheap to make anew
_ALIGNMENT = 64  # bytes: a cache line, and more than any dtype needs


def _references(kept: list[NDArray[np.uint8]], i: int) -> int:
    return sys.getrefcount(kept[i])


_IDLE = _references([np.empty(1, np.uint8)], 0)  # how many there are when only the list holds one


def _pageable(size: int) -> NDArray[np.uint8]:
    return np.empty(size, np.uint8)


class Buffers:
    """Hands out memory, and takes it back by itself when no array looks at it any more.

    Holds at most `most_bytes`, and never gives one piece out twice at once. Thread-safe. `make`
    gives so many bytes of memory of a special kind; what is large and is not kept is of no kind.
    """

    def __init__(
        self, most_bytes: int, make: Callable[[int], NDArray[np.uint8]] = _pageable
    ) -> None:
        self._most_bytes = most_bytes
        self._make = make
        self._lock = threading.Lock()
        self._kept: list[NDArray[np.uint8]] = []
        self._kept_bytes = 0

    def take(
        self, shape: tuple[int, ...], dtype: DTypeLike, *, aligned_at: int = 0
    ) -> NDArray[Any]:
        """An array with nothing in it, whose byte `aligned_at` begins a cache line."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if size < LEAST_BYTES and not aligned_at:
            ordinary = self._make is _pageable
            return np.empty(shape, kind) if ordinary else self._make(size).view(kind).reshape(shape)
        room = self._room(size + _ALIGNMENT)
        start = -(room.ctypes.data + aligned_at) % _ALIGNMENT
        return room[start : start + size].view(kind).reshape(shape)

    def _room(self, size: int) -> NDArray[np.uint8]:
        if size < LEAST_BYTES:
            return self._make(size)
        with self._lock:
            best = None
            for i in range(len(self._kept)):
                fits = size <= self._kept[i].size <= 2 * size
                if fits and self._is_idle(i) and (best is None or self._kept[i].size < best.size):
                    best = self._kept[i]
            if best is not None:
                return best
            if size <= self._most_bytes:
                self._make_room(size)
            if self._kept_bytes + size > self._most_bytes:
                return _pageable(size)
            made = self._make(size)
            self._kept.append(made)
            self._kept_bytes += size
            return made

    def _is_idle(self, i: int) -> bool:
        return _references(self._kept, i) == _IDLE

    def _make_room(self, size: int) -> None:
        """Let idle ones go, the oldest first, until there is room for one more."""
        i = 0
        while i < len(self._kept) and self._kept_bytes + size > self._most_bytes:
            if self._is_idle(i):
                self._kept_bytes -= self._kept.pop(i).size
            else:
                i += 1
