"""Mappings of callers' sealed memfds that are kept between calls."""

import mmap
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossd.store._keys import Identity, Keys

_MOST = 64  # mappings; each holds a descriptor
_IDLE_S = 60.0
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)


@dataclass(slots=True)
class _Mapping:
    array: NDArray[np.uint8]
    used_s: float


class Mappings:
    """Whole files as arrays. Thread-safe.

    Mapping 16 MiB anew costs more than copying it: 4096 pages are entered into a table. A mapping
    keeps its file's memory, also when its owner is dead; so at most `most_bytes` are kept, the
    latest used ones, and whoever owns this must `sweep`. What is dropped while a call looks at it
    lives until that call is done.
    """

    def __init__(self, keys: Keys, most_bytes: int) -> None:
        self._keys, self._most_bytes = keys, most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Identity, _Mapping] = OrderedDict()

    def get(self, identity: Identity) -> NDArray[np.uint8] | None:
        """All bytes of a file, writable; None if it may not be mapped, or is too large to keep.

        Raises `UnknownRegion`.
        """
        now_s = time.monotonic()
        with self._lock:
            known = self._kept.get(identity)
            if known is not None:
                known.used_s = now_s
                self._kept.move_to_end(identity)
                return known.array
        array = self._map(identity)
        if array is not None:
            with self._lock:
                self._kept[identity] = _Mapping(array, now_s)
                self._kept.move_to_end(identity)
                self._fit()
        return array

    def drop(self, is_wanted: Callable[[Identity], bool]) -> None:
        """Drop the mappings that nobody wants, or that were not used for a minute."""
        oldest_s = time.monotonic() - _IDLE_S
        with self._lock:
            kept = list(self._kept.items())
        unwanted = [one for one, each in kept if each.used_s < oldest_s or not is_wanted(one)]
        with self._lock:
            for each in unwanted:
                self._kept.pop(each, None)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def _map(self, identity: Identity) -> NDArray[np.uint8] | None:
        file, found = self._keys.open(identity.key, os.O_RDWR, identity)
        try:
            size = found.st_size
            if not 0 < size <= self._most_bytes or not self._keys.is_mappable(file):
                return None
            return np.frombuffer(mmap.mmap(file, size, mmap.MAP_SHARED | _POPULATE), np.uint8)
        except OSError:
            return None  # sealed against writing as well, or no room for it
        finally:
            os.close(file)

    def _fit(self) -> None:
        held = sum(each.array.nbytes for each in self._kept.values())
        while len(self._kept) > _MOST or held > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            held -= oldest.array.nbytes
