"""What callers may name as shared memory: files in /dev/shm, and their own sealed memfds."""

import errno
import fcntl
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from lossd.errors import BadRequest, UnknownRegion

_FOLDER = "/dev/shm"
_SHM_KEY = re.compile(r"/?([A-Za-z0-9_.\-]{1,250})")
_MEMFD_KEY = re.compile(
    r"/memfd/([1-9][0-9]{0,9})/([0-9]{1,9})/([A-Za-z0-9_.\-]{0,200}[0-9a-f]{32})"
)
_EXPECTED = (
    "a name in /dev/shm of letters, digits, '_', '-', '.', or /memfd/<pid>/<fd>/<name> whose name "
    "ends in 32 hexadecimal digits; the name begins with {!r} (LOSSD_SHARED_MEMORY_PREFIX)"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file a key meant when it was registered: a key alone may come to mean another."""

    key: str
    device: int
    inode: int


class Keys:
    """Opens the files that keys name. `prefix`: what their names must begin with."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._memfd_device = _memfd_device()
        self._may_map = _overcommits()

    def open(
        self, key: str, flags: int, identity: Identity | None = None
    ) -> tuple[int, os.stat_result]:
        """Open a regular file; the one of that identity, if one is given. Also what it is.

        Raises `BadRequest` for a key that may not be used, `UnknownRegion` where there is no such
        file, or another one.
        """
        try:
            if memfd := _memfd(key):
                self._check_prefix(memfd[3], key)
                file = self._open_memfd(memfd, key, flags)
            else:
                file = os.open(
                    self._path(key), flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                )
        except OSError as err:
            raise UnknownRegion(
                f"Unable to open shared memory region: {key[:100]!r}: {err.strerror}", at="key"
            ) from err
        found = os.fstat(file)
        same = identity is None or (
            found.st_ino == identity.inode and found.st_dev == identity.device
        )
        if stat.S_ISREG(found.st_mode) and same:
            return file, found
        os.close(file)
        detail = "no regular file" if same else "not the file that was registered"
        raise UnknownRegion(f"shared memory region {key[:100]!r} is {detail}", at="key")

    def is_gone(self, identity: Identity) -> bool:
        """Whether the key means that file no more: it was removed or closed, or its owner died."""
        try:
            if memfd := _memfd(identity.key):
                return os.readlink(_proc_path(memfd)) != _link_of(memfd[3])
            found = os.stat(self._path(identity.key), follow_symlinks=False)
            return identity_of(identity.key, found) != identity
        except OSError:
            return True  # also where it may not be looked at: once it could be opened

    def is_mappable(self, file: int) -> bool:
        """Whether no caller can make a mapping of this file kill the process that reads it.

        Touching a page beyond the end of a file is a SIGBUS. A file sealed against shrinking has
        its end for good, because a seal cannot be broken. Holes in it are filled on touch; that
        fails, as a SIGBUS too, for huge pages that are not reserved, which are on another device
        than ordinary memfds, and under strict overcommit, where nothing is mapped. A hole costs
        memory, so a file that is not allocated is not mapped either; whoever punches holes later
        makes the service fill them again, in a file whose size it has counted.
        """
        found = os.fstat(file)
        if not self._may_map or found.st_dev != self._memfd_device:
            return False
        try:
            seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
        except OSError:
            return False
        return bool(seals & fcntl.F_SEAL_SHRINK) and found.st_blocks * 512 >= found.st_size

    def _open_memfd(self, memfd: re.Match[str], key: str, flags: int) -> int:
        # By O_PATH first, which wakes no driver, pipe or tape, and then by that descriptor, which
        # is ours: whatever the owner does to its own meanwhile, what is checked is what is opened.
        path = os.open(_proc_path(memfd), os.O_PATH | os.O_CLOEXEC)
        try:
            own = f"/proc/self/fd/{path}"
            is_memfd = os.fstat(path).st_dev == self._memfd_device
            if not is_memfd or os.readlink(own) != _link_of(memfd[3]):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return os.open(own, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        finally:
            os.close(path)

    def _path(self, key: str) -> str:
        match = _SHM_KEY.fullmatch(key)
        if match is None or match[1] in (".", ".."):
            raise self._not_allowed(key)
        self._check_prefix(match[1], key)
        return f"{_FOLDER}/{match[1]}"

    def _check_prefix(self, name: str, key: str) -> None:
        if not name.startswith(self._prefix):
            raise self._not_allowed(key)

    def _not_allowed(self, key: str) -> BadRequest:
        expected = _EXPECTED.format(self._prefix)
        return BadRequest(
            "not a key that may be used here", at="key", expected=expected, got=key[:100]
        )


def identity_of(key: str, found: os.stat_result) -> Identity:
    """The identity of a file that a key was found to mean."""
    return Identity(key, found.st_dev, found.st_ino)


def is_memfd(key: str) -> bool:
    """Whether a key has the form of one that names a memfd."""
    return _memfd(key) is not None


def _memfd(key: str) -> re.Match[str] | None:
    return _MEMFD_KEY.fullmatch(key) if key.startswith("/memfd/") else None


def _proc_path(memfd: re.Match[str]) -> str:
    return f"/proc/{memfd[1]}/fd/{memfd[2]}"


def _link_of(name: str) -> str:
    return f"/memfd:{name} (deleted)"


def _memfd_device() -> int | None:
    """The device that every memfd of ordinary pages is on."""
    if not hasattr(os, "memfd_create"):
        return None
    file = os.memfd_create("lossd")
    try:
        return os.fstat(file).st_dev
    finally:
        os.close(file)


def _overcommits() -> bool:
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text().strip() != "2"
    except OSError:
        return False
