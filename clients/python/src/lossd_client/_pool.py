"""Regions that are used again as soon as nobody looks at them any more."""

import os
import threading
import weakref
from collections import deque

from lossd_client._memory import Bytes, Kind, Region

_LEAST_BYTES = 1 << 16
_MOST = 64  # regions, each with two descriptors
_MOST_IDLE = 8
_MOST_IDLE_BYTES = 1 << 30


class Pool:
    """The regions of one client. Thread-safe.

    A region that was lent as an array comes back when the array and all its views are dead, which
    may be in any thread, and in the middle of anything: so coming back takes no lock.

    After a fork the child begins with none. In the parent, what was lent at that moment is never
    used again, because the child may look at it for as long as it likes.
    """

    def __init__(self, kinds: list[Kind]) -> None:
        self._kinds, self._is_closed = kinds, False
        self._begin()
        pool = weakref.ref(self)

        def forked() -> None:
            if (mine := pool()) is not None:
                mine._keep_for_child()

        if kinds:
            os.register_at_fork(after_in_parent=forked)

    @property
    def kind(self) -> Kind | None:
        """What a region is made of; None where no more can be made."""
        return self._kinds[0] if self._kinds and not self._is_closed else None

    def take(self, byte_size: int) -> Region | None:
        """A region of at least so many bytes; None if there is none to be had."""
        if os.getpid() != self._process:
            self._begin()
        with self._lock:
            self._tidy()
            kind = self.kind
            if kind is None:
                return None
            fitting = [each for each in self._idle if byte_size <= each.size <= 8 * byte_size]
            region = min(fitting, key=lambda each: each.size, default=None)
            if region is None:
                if len(self._all) >= _MOST and self._idle:
                    self._drop(self._idle.pop(0))
                if len(self._all) >= _MOST:
                    return None
                try:
                    region = Region(kind, _rounded(byte_size))
                except OSError:
                    return None
                self._all.append(region)
            else:
                self._idle.remove(region)
            region.is_lent = True
            return region

    def give(self, region: Region) -> None:
        """Bring a region back that nobody looks at."""
        region.is_lent = False
        if region.process != os.getpid():
            return  # an array that a child inherited
        self._back.append(region)
        if self._is_closed:
            self._back.clear()

    def lend(self, region: Region) -> Bytes:
        """A region's bytes; it comes back when no array looks at them."""
        array = region.array()
        weakref.finalize(array, self.give, region).atexit = False
        return array

    def retire(self, region: Region) -> None:
        """Never use a region again: somebody may still write into it."""
        region.close()
        with self._lock:
            if region in self._all:
                self._all.remove(region)

    def find(self, address: int, byte_size: int) -> Region | None:
        """The region that memory at an address is part of."""
        with self._lock:
            for each in self._all:
                inside = each.address <= address <= each.address + each.size - byte_size
                if inside and each.kind == self.kind and os.getpid() == self._process:
                    return each
        return None

    def refuse(self, kind: Kind | None) -> None:
        """The service takes no regions of that kind, or of none."""
        with self._lock:
            self._kinds = [] if kind is None else [each for each in self._kinds if each != kind]
            self._tidy()

    def close(self) -> None:
        """Take all memory from the service. Arrays that were lent stay good."""
        self._is_closed = True
        self._back.clear()
        if os.getpid() == self._process:
            with self._lock:
                self._idle.clear()
                for region in self._all:
                    region.close()
                self._all.clear()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._all: list[Region] = []
        self._idle: list[Region] = []  # those longest idle first
        self._back: deque[Region] = deque()

    def _tidy(self) -> None:
        while self._back:
            region = self._back.popleft()
            if region.is_forked or region.kind != self.kind:
                self._drop(region)
            else:
                self._idle.append(region)
        wrong = [each for each in self._idle if each.kind != self.kind]
        surplus = len(self._idle) - _MOST_IDLE
        held = sum(each.size for each in self._idle)
        for each in list(self._idle):
            if each in wrong or surplus > 0 or held > _MOST_IDLE_BYTES:
                self._idle.remove(each)
                self._drop(each)
                surplus, held = surplus - 1, held - each.size

    def _drop(self, region: Region) -> None:
        region.close()
        if region in self._all:
            self._all.remove(region)

    def _keep_for_child(self) -> None:
        for each in list(self._all):
            each.is_forked = each.is_forked or each.is_lent


def _rounded(byte_size: int) -> int:
    """A size that calls of about this size can share, at most a quarter larger."""
    step = max(_LEAST_BYTES, 1 << max(0, byte_size.bit_length() - 3))
    return -(-byte_size // step) * step
