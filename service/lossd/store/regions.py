"""Shared-memory regions that callers register: names for parts of files in /dev/shm.

A region is read with `preadv` and written with `pwritev`, never mapped: a caller can truncate its
file at any time, and touching a page that is gone would kill the process; here it is a short read.
Nothing stays open between calls, so nothing leaks when a caller dies.
"""

import os
import re
import sqlite3
import stat
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

_KEY = re.compile(r"/?([A-Za-z0-9_.\-]{1,250})")
_NAME = re.compile(r"[^\x00-\x1f/]{1,250}")
_FOLDER = Path("/dev/shm")
_CREATE = """create table if not exists regions (
    name text not null, owner text not null, key text not null, byte_offset integer not null,
    byte_size integer not null, device integer not null, inode integer not null,
    primary key (name, owner))"""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of one file in shared memory, in bytes. It belongs to whoever registered it."""

    name: str
    owner: str
    key: str
    offset: int
    byte_size: int
    device: int
    inode: int


class Regions:
    """The regions of one service, the same for each of its worker processes.

    - `folder`: owner-only, shared by the workers.
    - `prefix`: what the keys of files must begin with.
    - `most`: how many may be registered at once; those whose file is gone give way.
    """

    def __init__(self, folder: Path, *, enabled: bool, prefix: str, most: int) -> None:
        self.enabled = enabled
        self._prefix, self._most = prefix, most
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            folder / "regions.sqlite", check_same_thread=False, isolation_level=None, timeout=10
        )
        # Regions mean nothing after a restart of the machine: no need to wait for a disk.
        self._run("pragma synchronous = off")
        self._run(_CREATE)

    def close(self) -> None:
        """Close the file; the regions stay registered for the other workers."""
        self._database.close()

    def register(self, name: str, owner: str, *, key: str, offset: int, byte_size: int) -> None:
        """Give a part of a file a name.

        Raises `SharedMemoryOff`, `BadRequest` for a bad name, `OutOfRange` for a part beyond the
        file's end, `UnknownRegion` if there is no such file, `Conflict` if the name is taken,
        `TooLarge` if too many are registered.
        """
        self._check_enabled()
        if not _NAME.fullmatch(name):
            raise BadRequest("not a name for a region", at="region", got=name[:100])
        file = self._open(key, os.O_RDONLY)
        try:
            found = os.fstat(file)
        finally:
            os.close(file)
        if offset < 0 or byte_size < 1 or offset + byte_size > found.st_size:
            raise OutOfRange(
                "the region is empty or reaches beyond the end of the shared memory",
                at="byte_size",
                expected=f"offset >= 0, byte_size >= 1, their sum at most {found.st_size}",
                got=f"offset {offset}, byte_size {byte_size}"[:100],
            )
        if self._count() >= self._most:
            self._forget_the_gone()
        if self._count() >= self._most:
            raise TooLarge("too many regions", at="region", expected=f"at most {self._most}")
        row = (name, owner, key, offset, byte_size, found.st_dev, found.st_ino)
        try:
            self._run("insert into regions values (?, ?, ?, ?, ?, ?, ?)", *row)
        except sqlite3.IntegrityError as err:
            raise Conflict(
                f"shared memory region {name!r} already in manager", at="region", got=name
            ) from err

    def unregister(self, name: str | None, owner: str) -> None:
        """Forget a region of this owner, or all of them. An unknown one is no mistake."""
        if name is None:
            self._run("delete from regions where owner = ?", owner)
        else:
            self._run("delete from regions where name = ? and owner = ?", name, owner)

    def status(self, owner: str) -> list[Region]:
        """The regions of this owner, by name."""
        rows = self._run("select * from regions where owner = ? order by name", owner)
        return [_region(row) for row in rows]

    def find(self, name: str, owner: str) -> Region:
        """A region of this owner. Raises `SharedMemoryOff`, `UnknownRegion`."""
        self._check_enabled()
        rows = self._run("select * from regions where name = ? and owner = ?", name, owner)
        if not rows:
            raise UnknownRegion(
                f"Unable to find shared memory region: {name[:100]!r}", at="shared_memory_region"
            )
        return _region(rows[0])

    def read(self, region: Region, offset: int, byte_size: int) -> NDArray[np.uint8]:
        """A copy of a part of a region. Raises `OutOfRange` if the file is shorter by now."""
        start = _check_part(region, offset, byte_size)
        buffer = np.empty(byte_size, np.uint8)
        file = self._open(region.key, os.O_RDONLY, region)
        try:
            done = 0
            while done < byte_size:
                got = os.preadv(file, [buffer.data[done:]], start + done)
                if got == 0:
                    raise _shrunk(region, start + done)
                done += got
        finally:
            os.close(file)
        return buffer

    def write(self, region: Region, offset: int, data: NDArray[np.uint8]) -> None:
        """Write into a region. Raises `OutOfRange` if it does not fit, or the file is shorter."""
        start = _check_part(region, offset, data.size)
        file = self._open(region.key, os.O_RDWR, region)
        try:
            if os.fstat(file).st_size < start + data.size:
                raise _shrunk(region, os.fstat(file).st_size)
            done = 0
            while done < data.size:
                done += os.pwritev(file, [data.data[done:]], start + done)
        except OSError as err:
            raise OutOfMemory(f"no room in shared memory: {err.strerror}") from err
        finally:
            os.close(file)

    def _check_enabled(self) -> None:
        if not self.enabled:
            raise SharedMemoryOff("shared memory is off here", expected="LOSSD_SHARED_MEMORY=1")

    def _open(self, key: str, flags: int, region: Region | None = None) -> int:
        """Open a file of /dev/shm: a regular one, below the prefix, and still the same one."""
        match = _KEY.fullmatch(key)
        if match is None or not match[1].startswith(self._prefix) or match[1] in (".", ".."):
            raise BadRequest(
                "not a key that may be used here",
                at="key",
                expected=f"a name of letters, digits, '_', '-', '.' that begins with "
                f"{self._prefix!r} (LOSSD_SHARED_MEMORY_PREFIX)",
                got=key[:100],
            )
        try:
            file = os.open(_FOLDER / match[1], flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as err:
            raise UnknownRegion(
                f"Unable to open shared memory region: {key[:100]!r}: {err.strerror}", at="key"
            ) from err
        found = os.fstat(file)
        same = region is None or (found.st_dev, found.st_ino) == (region.device, region.inode)
        if stat.S_ISREG(found.st_mode) and same:
            return file
        os.close(file)
        detail = "no regular file" if same else "not the file that was registered"
        raise UnknownRegion(f"shared memory region {key[:100]!r} is {detail}", at="key")

    def _count(self) -> int:
        return int(self._run("select count(*) from regions")[0][0])

    def _forget_the_gone(self) -> None:
        for row in self._run("select * from regions"):
            region = _region(row)
            try:
                found = (_FOLDER / region.key.lstrip("/")).stat(follow_symlinks=False)
                gone = (found.st_dev, found.st_ino) != (region.device, region.inode)
            except OSError:
                gone = True
            if gone:
                self.unregister(region.name, region.owner)

    def _run(self, statement: str, *values: Any) -> list[Any]:
        with self._lock, closing(self._database.execute(statement, values)) as cursor:
            return cursor.fetchall()


def _region(row: Any) -> Region:
    name, owner, key, offset, byte_size, device, inode = row
    return Region(name, owner, key, offset, byte_size, device, inode)


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
