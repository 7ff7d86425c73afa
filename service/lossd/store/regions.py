"""Shared-memory regions that callers register: names for parts of files in memory.

A file in /dev/shm is read with `preadv` and written with `pwritev`, never mapped: a caller can
truncate it at any time, and touching a page that is gone would kill the process; here it is a short
read. Nothing of it stays open between calls. A memfd that is sealed against shrinking is mapped,
and stays so for a while: calls look at the caller's own memory. A thread that lives as long as
there is anything to look after forgets what belongs to callers that are gone.
"""

import logging
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossd.errors import (
    BadRequest,
    Conflict,
    OutOfMemory,
    OutOfRange,
    SharedMemoryOff,
    TooLarge,
    UnknownRegion,
)
from lossd.store._keys import Keys, is_memfd
from lossd.store._mappings import Mappings
from lossd.store._table import Region, Table

_NAME = re.compile(r"[^\x00-\x1f/]{1,250}")
_SWEEP_S = 2.0
Allocate = Callable[[int], NDArray[np.uint8]]
_log = logging.getLogger("lossd")


class Regions:
    """The regions of one service, the same for each of its worker processes.

    - `folder`: owner-only, shared by the workers.
    - `prefix`: what the names of files must begin with.
    - `most`: how many may be registered at once; those whose file is gone give way.
    - `most_mapped_bytes`: of callers' memory that this process keeps mapped between calls.
    - `allocate`: gives so many bytes of memory for a copy.
    """

    def __init__(
        self,
        folder: Path,
        *,
        enabled: bool,
        prefix: str,
        most: int,
        most_mapped_bytes: int,
        allocate: Allocate,
    ) -> None:
        self.enabled, self._allocate = enabled, allocate
        self._most = most
        self._table = Table(folder)
        self._keys = Keys(prefix)
        self._mappings = Mappings(self._keys, most_mapped_bytes)
        self._lock = threading.Lock()
        self._sweeper: threading.Thread | None = None
        self._is_closed = threading.Event()

    def close(self) -> None:
        """Close the file; the regions stay registered for the other workers."""
        self._is_closed.set()
        with self._lock:
            sweeper = self._sweeper
        if sweeper is not None:
            sweeper.join()
        self._table.close()

    def register(self, name: str, owner: str, *, key: str, offset: int, byte_size: int) -> None:
        """Give a part of a file a name.

        Raises `SharedMemoryOff`, `BadRequest` for a bad name, `OutOfRange` for a part beyond the
        file's end, `UnknownRegion` if there is no such file, `Conflict` if the name is taken,
        `TooLarge` if too many are registered.
        """
        self._check_enabled()
        if not _NAME.fullmatch(name):
            raise BadRequest("not a name for a region", at="region", got=name[:100])
        file, found = self._keys.open(key, os.O_RDONLY)
        os.close(file)
        if offset < 0 or byte_size < 1 or offset + byte_size > found.st_size:
            raise OutOfRange(
                "the region is empty or reaches beyond the end of the shared memory",
                at="byte_size",
                expected=f"offset >= 0, byte_size >= 1, their sum at most {found.st_size}",
                got=f"offset {offset}, byte_size {byte_size}"[:100],
            )
        if self._table.count() >= self._most:
            self._forget_the_gone()
        if self._table.count() >= self._most:
            raise TooLarge("too many regions", at="region", expected=f"at most {self._most}")
        region = Region(name, owner, key, offset, byte_size, found.st_dev, found.st_ino)
        if not self._table.add(region):
            raise Conflict(
                f"shared memory region {name!r} already in manager", at="region", got=name
            )
        self._watch()

    def unregister(self, name: str | None, owner: str) -> None:
        """Forget a region of this owner, or all of them. An unknown one is no mistake.

        Other workers drop their mappings of it at their next sweep.
        """
        self._table.remove(name, owner)
        if len(self._mappings):
            self._drop_mappings()

    def status(self, owner: str) -> list[Region]:
        """The regions of this owner, by name."""
        return self._table.of(owner)

    def find(self, name: str, owner: str) -> Region:
        """A region of this owner. Raises `SharedMemoryOff`, `UnknownRegion`."""
        self._check_enabled()
        region = self._table.find(name, owner)
        if region is None:
            raise UnknownRegion(
                f"Unable to find shared memory region: {name[:100]!r}", at="shared_memory_region"
            )
        return region

    def is_ready(self, name: str, owner: str) -> bool:
        """Whether a part of a region is reached in the time that copying it takes.

        False while a memfd is not mapped yet, which takes long if it is large.
        """
        region = self._table.find(name, owner)
        return region is None or not is_memfd(region.key) or region.identity in self._mappings

    def views(
        self, region: Region, parts: Sequence[tuple[int, int]]
    ) -> tuple[list[NDArray[np.uint8]], bool]:
        """Parts of a region, offset and size, and whether they are the caller's own memory.

        Else they are copies. The caller may write into its memory at any time: what is checked
        there may be another value when it is used. Raises `OutOfRange` if the file is shorter by
        now, `UnknownRegion` if it is gone.
        """
        places = [self.place(region, *part) for part in parts]
        shared = [place for place in places if place is not None]
        return (shared, True) if len(shared) == len(parts) else (self._read(region, parts), False)

    def place(self, region: Region, offset: int, byte_size: int) -> NDArray[np.uint8] | None:
        """A part of a region to write an output into; None where `write` is the only way.

        Raises `OutOfRange` if the file is shorter by now, `UnknownRegion` if it is gone.
        """
        start = _check_part(region, offset, byte_size)
        file = self._mappings.get(region.identity) if is_memfd(region.key) else None
        if file is None:
            return None
        self._watch()
        if file.nbytes < start + byte_size:  # it was cut after it was registered, and then sealed
            raise _shrunk(region, file.nbytes)
        return file[start : start + byte_size]

    def _read(self, region: Region, parts: Sequence[tuple[int, int]]) -> list[NDArray[np.uint8]]:
        """Copies of parts of a region. Raises `OutOfRange` if the file is shorter by now."""
        starts = [_check_part(region, offset, size) for offset, size in parts]
        file, found = self._keys.open(region.key, os.O_RDONLY, region.identity)
        try:
            for start, (_, size) in zip(starts, parts, strict=True):
                if found.st_size < start + size:  # before any memory is taken
                    raise _shrunk(region, found.st_size)
            return [
                self._copy(file, region, start, size)
                for start, (_, size) in zip(starts, parts, strict=True)
            ]
        finally:
            os.close(file)

    def _copy(self, file: int, region: Region, start: int, byte_size: int) -> NDArray[np.uint8]:
        buffer = self._allocate(byte_size)
        done = 0
        while done < byte_size:
            got = os.preadv(file, [buffer.data[done:]], start + done)
            if got == 0:
                raise _shrunk(region, start + done)
            done += got
        return buffer

    def write(self, region: Region, offset: int, data: NDArray[np.uint8]) -> None:
        """Write into a region. Raises `OutOfRange` if it does not fit, or the file is shorter."""
        place = self.place(region, offset, data.size)
        if place is not None:
            place[:] = data
            return
        start = _check_part(region, offset, data.size)
        file, found = self._keys.open(region.key, os.O_RDWR, region.identity)
        try:
            if found.st_size < start + data.size:
                raise _shrunk(region, found.st_size)
            done = 0
            while done < data.size:
                done += os.pwritev(file, [data.data[done:]], start + done)
        except PermissionError as err:
            raise UnknownRegion(
                f"shared memory region {region.name!r} is sealed against writing", at="outputs"
            ) from err
        except OSError as err:
            raise OutOfMemory(f"no room in shared memory: {err.strerror}") from err
        finally:
            os.close(file)

    def sweep(self) -> None:
        """Forget the regions whose files are gone, and drop what is kept for nobody."""
        self._forget_the_gone()
        self._drop_mappings()

    def _check_enabled(self) -> None:
        if not self.enabled:
            raise SharedMemoryOff("shared memory is off here", expected="LOSSD_SHARED_MEMORY=1")

    def _forget_the_gone(self) -> None:
        for region in self._table.all():
            if self._keys.is_gone(region.identity):
                self._table.forget(region)

    def _drop_mappings(self) -> None:
        wanted = {region.identity for region in self._table.all()}
        self._mappings.drop(wanted.__contains__)

    def _watch(self) -> None:
        """Have a thread sweep from now on, for calls may stop, and callers die, at any time."""
        if self._sweeper is not None:
            return
        with self._lock:
            if self._sweeper is None and not self._is_closed.is_set():
                self._sweeper = threading.Thread(
                    target=self._sweep_on, name="lossd-sweeper", daemon=True
                )
                self._sweeper.start()

    def _sweep_on(self) -> None:
        while not self._is_closed.wait(_SWEEP_S):
            try:
                self.sweep()
            except sqlite3.Error as err:  # a full or busy disk; the next one may be luckier
                _log.warning("regions were not swept: %s", err)


def _check_part(region: Region, offset: int, byte_size: int) -> int:
    if offset < 0 or byte_size < 0 or offset + byte_size > region.byte_size:
        raise OutOfRange(
            f"reaches beyond the end of shared memory region {region.name!r}",
            at="shared_memory_byte_size",
            expected=f"at most {region.byte_size} bytes",
            got=f"offset {offset}, byte_size {byte_size}"[:100],
        )
    return region.offset + offset


def _shrunk(region: Region, size: int) -> OutOfRange:
    return OutOfRange(
        f"the shared memory of region {region.name!r} is shorter than when it was registered",
        at="shared_memory_region",
        expected=f"{region.offset + region.byte_size} bytes",
        got=f"{size} bytes",
    )
