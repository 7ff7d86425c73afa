"""The table of regions, in a file that the worker processes share."""

import mmap
import os
import sqlite3
import threading
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from lossd.store._keys import Identity

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

    @property
    def identity(self) -> Identity:
        """The file that it is a part of."""
        return Identity(self.key, self.device, self.inode)


class Table:
    """Regions by name and owner, the same for every process that opens the folder. Thread-safe.

    What is looked up is remembered until any process writes. They tell one another by a number in
    a mapped file: reading it takes 0.1 µs; asking SQLite (`pragma data_version`) takes as long as
    looking the region up. The number is odd while somebody writes, or died writing; then nothing
    is remembered.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            folder / "regions.sqlite", check_same_thread=False, isolation_level=None, timeout=10
        )
        # Regions mean nothing after a restart of the machine: no need to wait for a disk.
        self._query("pragma synchronous = off")
        self._query(_CREATE)
        self._version = _shared_number(folder / "regions.version")
        self._known: tuple[int, dict[tuple[str, str], Region]] = (0, {})

    def close(self) -> None:
        """Close the file; the regions stay for the other processes."""
        self._database.close()

    def find(self, name: str, owner: str) -> Region | None:
        """The region of that name and owner."""
        version = self._version[0]
        known, regions = self._known
        if version != known:
            regions = {}
            self._known = (version, regions)
        region = regions.get((name, owner))
        if region is None:
            found = self._query("select * from regions where name = ? and owner = ?", name, owner)
            region = Region(*found[0]) if found else None
            if region is not None and version % 2 == 0:
                regions[name, owner] = region
        return region

    def of(self, owner: str) -> list[Region]:
        """The regions of an owner, by name."""
        rows = self._query("select * from regions where owner = ? order by name", owner)
        return [Region(*row) for row in rows]

    def all(self) -> list[Region]:
        """Everybody's regions."""
        return [Region(*row) for row in self._query("select * from regions")]

    def count(self) -> int:
        """How many there are."""
        return int(self._query("select count(*) from regions")[0][0])

    def add(self, region: Region) -> bool:
        """Add a region. False if its owner has one of that name."""
        row = astuple(region)
        try:
            self._write("insert into regions values (?, ?, ?, ?, ?, ?, ?)", *row)
        except sqlite3.IntegrityError:
            return False
        return True

    def remove(self, name: str | None, owner: str) -> None:
        """Remove a region of an owner, or all of them."""
        if name is None:
            self._write("delete from regions where owner = ?", owner)
        else:
            self._write("delete from regions where name = ? and owner = ?", name, owner)

    def forget(self, region: Region) -> None:
        """Remove a region, unless another one has its name by now."""
        where = "name = ? and owner = ? and key = ? and device = ? and inode = ?"
        row = (region.name, region.owner, region.key, region.device, region.inode)
        self._write(f"delete from regions where {where}", *row)

    def _query(self, statement: str, *values: Any) -> list[Any]:
        with self._lock, closing(self._database.execute(statement, values)) as cursor:
            return cursor.fetchall()

    def _write(self, statement: str, *values: Any) -> None:
        with self._lock:
            self._database.execute("begin immediate")  # one writer among all processes
            self._version[0] += 1 + self._version[0] % 2
            done = "rollback"
            try:
                self._database.execute(statement, values)
                done = "commit"
            finally:
                self._database.execute(done)
                self._version[0] += 1


def _shared_number(path: Path) -> memoryview:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(file, 8)
        return memoryview(mmap.mmap(file, 8)).cast("Q")
    finally:
        os.close(file)
