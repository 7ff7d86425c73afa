"""Blocks of memory that this process can share with a service on the same machine."""

import fcntl
import mmap
import os
import secrets
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["memfd", "shm"]
Bytes = NDArray[np.uint8]


class Region:
    """One block, all of it allocated. `key` is what a service finds it by.

    - `memfd`: memory without a name in any folder, whose size is sealed; the service maps it. It
      must run as this user, or as root, and see this process's id.
    - `shm`: a file in /dev/shm that a service can read and write where it sees the same folder.

    The memory is this process's until `close`, and then until the last array of it dies; when the
    process dies it goes too. Raises `OSError` where there is no room.
    """

    def __init__(self, kind: Kind, size: int) -> None:
        prefix = os.environ.get("LOSSD_SHARED_MEMORY_PREFIX", "lossd")
        self.kind, self.size, self.name = kind, size, f"{prefix}-{secrets.token_hex(16)}"
        make = _memfd if kind == "memfd" else _file_in_dev_shm
        self.key, self._memory, release = make(self.name, size)
        self._release = weakref.finalize(self, release)
        self.address = self.array().ctypes.data
        self.process = os.getpid()
        self.is_registered = self.is_lent = self.is_forked = False

    def array(self) -> Bytes:
        """All bytes, as a new array, which is the base of all arrays made from it."""
        return np.frombuffer(self._memory, np.uint8)

    def close(self) -> None:
        """Take it from the service; its arrays stay good."""
        self._release()


def kinds() -> list[Kind]:
    """What this machine has, the better first."""
    if sys.platform != "linux":
        return []
    has_shm = os.path.isdir("/dev/shm")
    return ["memfd", "shm"] if has_shm else ["memfd"]


def _memfd(name: str, size: int) -> tuple[str, mmap.mmap, Callable[[], None]]:
    file = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        memory = _mapped(file, size)
        fcntl.fcntl(
            file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        )
    except BaseException:
        os.close(file)
        raise
    return f"/memfd/{os.getpid()}/{file}/{name}", memory, lambda: os.close(file)


def _file_in_dev_shm(name: str, size: int) -> tuple[str, mmap.mmap, Callable[[], None]]:
    # Of multiprocessing, because its tracker removes the file when this process is killed.
    try:
        shared = SharedMemory(name, create=True, size=size)
    except OSError:  # the file may be there, if it was the tracker that could not be started
        with suppress(OSError):
            os.unlink(f"/dev/shm/{name}")
        raise
    owner = os.getpid()

    def unlink() -> None:
        if os.getpid() == owner:  # a forked child must not take it away
            shared.unlink()

    try:
        shared.close()  # its own mapping cannot be closed while arrays look at it
        file = os.open(f"/dev/shm/{name}", os.O_RDWR | os.O_CLOEXEC)
        try:
            memory = _mapped(file, size)
        finally:
            os.close(file)
    except BaseException:
        unlink()
        raise
    return f"/{name}", memory, unlink


def _mapped(file: int, size: int) -> mmap.mmap:
    os.ftruncate(file, size)
    # Writing to a page for which there is no room would kill the process; this says so.
    os.posix_fallocate(file, 0, size)
    return mmap.mmap(file, size)
