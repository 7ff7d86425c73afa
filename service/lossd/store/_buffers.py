"""Memory for copies, used again as soon as no array looks at it any more."""

import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

_LEAST_BYTES = 64 * 1024  # for less, fresh memory is as fast
_MOST_IDLE_BYTES = 64 * 1024 * 1024
_MOST_IDLE = 8

Bytes = NDArray[np.uint8]


class Buffers:
    """Large buffers whose pages stay: the kernel hands out fresh ones by 4 KiB, each a fault.

    Thread-safe without a lock, because a buffer comes back whenever its last array dies, which may
    be in the middle of anything.
    """

    def __init__(self) -> None:
        self._idle: deque[Bytes] = deque()
        self._is_used = False

    def take(self, byte_size: int) -> Bytes:
        """Bytes of any content."""
        if byte_size < _LEAST_BYTES:
            return np.empty(byte_size, np.uint8)
        self._is_used = True
        for _ in range(len(self._idle)):
            try:
                buffer = self._idle.pop()
            except IndexError:
                break
            if byte_size <= buffer.nbytes <= 2 * byte_size:
                return self._lend(buffer, byte_size)
            self._idle.appendleft(buffer)
        return self._lend(np.empty(byte_size, np.uint8), byte_size)

    def tidy(self) -> None:
        """Give idle memory back to the system if nothing was taken since the last time."""
        if not self._is_used:
            self._idle.clear()
        self._is_used = False

    def _lend(self, buffer: Bytes, byte_size: int) -> Bytes:
        # Over a memoryview, because an array of an array would name the inner one as its base, and
        # views of it would not keep it alive.
        lent = np.frombuffer(buffer.data, np.uint8, byte_size)
        weakref.finalize(lent, self._take_back, buffer).atexit = False
        return lent

    def _take_back(self, buffer: Bytes) -> None:
        self._idle.append(buffer)
        while len(self._idle) > _MOST_IDLE or sum(map(len, [*self._idle])) > _MOST_IDLE_BYTES:
            try:
                self._idle.popleft()
            except IndexError:
                return
