"""The sockets that `lossd serve` listens on."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

_LIVE_WITHIN_S = 1.0


class Listeners:
    """An address, and a Unix socket if `uds` is given, bound before anything is printed.

    Raises `OSError`, saying which of the two cannot be bound.
    """

    def __init__(self, host: str, port: int, uds: Path | None) -> None:
        self._unix: UnixListener | None = None
        with _naming(f"{host}:{port}"):
            self.tcp = _bind(host, port)
        try:
            if uds is not None:
                with _naming(str(uds)):
                    self._unix = UnixListener(uds)
        except OSError:
            self.tcp.close()
            raise

    @property
    def sockets(self) -> list[socket.socket]:
        """All of them."""
        return [self.tcp] if self._unix is None else [self.tcp, self._unix.socket]

    def close(self) -> None:
        """Stop listening, and remove the Unix socket's file."""
        self.tcp.close()
        if self._unix is not None:
            self._unix.close()


@contextlib.contextmanager
def _naming(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise OSError(f"cannot bind {place}: {err}") from err


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def listener_of_a_worker(kept: socket.socket) -> socket.socket:
    """A socket of its own on an address that is kept, so that the kernel deals connections out.

    On one socket whoever wakes first takes all that wait. What a worker has not accepted yet goes
    with it when it dies; whoever comes then goes to the others. The address is kept by a socket
    that does not listen, which `share` has opened to sockets of this user. A Unix socket's file
    belongs to one socket, which all workers accept from.
    """
    if kept.family == socket.AF_UNIX or not hasattr(socket, "SO_REUSEPORT"):
        return kept
    own = socket.socket(kept.family, kept.type)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        own.bind(kept.getsockname())
    except OSError:
        own.close()
        raise
    return own


def share(kept: socket.socket) -> None:
    """Let workers bind an address that nobody else had when it was bound."""
    if kept.family != socket.AF_UNIX and hasattr(socket, "SO_REUSEPORT"):
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


class UnixListener:
    """A Unix socket that only this user may connect to. What a dead server left is replaced.

    Raises `OSError` where a live server listens, or something other than a socket is.
    """

    def __init__(self, path: Path) -> None:
        self._path: Path | None = None
        _remove_stale(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mask, and not a chmod: between the two, anyone could connect.
        mask = os.umask(0o177)
        try:
            self.socket.bind(str(path))
            self._path = path
            # At once, because a socket that does not listen looks stale to a second server.
            self.socket.listen()
        except OSError:
            self.close()
            raise
        finally:
            os.umask(mask)

    def close(self) -> None:
        """Stop listening and remove the file; once, since it may be another server's later."""
        self.socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def _remove_stale(path: Path) -> None:
    """Remove a socket's file if nobody listens there. Raises `OSError` if somebody does."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return  # binding refuses it
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_LIVE_WITHIN_S)
        with contextlib.suppress(ConnectionRefusedError):
            asking.connect(str(path))
            raise OSError(errno.EADDRINUSE, "a server listens there")
    path.unlink()
