"""Connections that are kept open between requests."""

import http.client
import os
import socket
import ssl
import threading
import time

Origin = tuple[str, str, int]  # scheme, host, port


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket. `timeout_s` is for connecting; None waits for ever."""

    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path, self._timeout_s = path, timeout_s

    def connect(self) -> None:
        """Connect. Raises `OSError`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self._timeout_s)
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        self.sock = sock


def connect(
    origin: Origin, timeout_s: float | None, tls: ssl.SSLContext | None, uds: str | None
) -> http.client.HTTPConnection:
    """A new connection, with TLS if `tls` is given. Raises `OSError`, or `UnicodeError` for a host.

    http.client sets TCP_NODELAY itself.
    """
    _, host, port = origin
    connection: http.client.HTTPConnection
    if uds is not None:
        connection = UnixConnection(uds, timeout_s)
    elif tls is not None:
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=tls)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.connect()
    except (OSError, UnicodeError):
        connection.close()
        raise
    return connection


class Pool:
    """Idle connections, the latest one first out. Thread-safe. A forked child begins with none.

    At most `most_idle` are held, each for at most `idle_s` seconds.
    """

    def __init__(self, most_idle: int, idle_s: float) -> None:
        self._most_idle, self._idle_s = most_idle, idle_s
        self._lock = threading.Lock()
        self._idle: list[tuple[Origin, http.client.HTTPConnection, float]] = []
        self._is_closed = False
        self._process = os.getpid()

    def take(self, origin: Origin) -> http.client.HTTPConnection | None:
        """An idle connection that looks alive, or None."""
        if self._process != os.getpid():
            self._process, self._lock, self._idle = os.getpid(), threading.Lock(), []
        while (found := self._pop(origin)) is not None:
            connection, since_s = found
            if time.monotonic() - since_s <= self._idle_s and _is_quiet(connection):
                return connection
            connection.close()
        return None

    def _pop(self, origin: Origin) -> tuple[http.client.HTTPConnection, float] | None:
        with self._lock:
            for place in reversed(range(len(self._idle))):
                if self._idle[place][0] == origin:
                    _, connection, since_s = self._idle.pop(place)
                    return connection, since_s
        return None

    def keep(self, origin: Origin, connection: http.client.HTTPConnection) -> None:
        """Take a connection back; the longest idle one is closed if there are too many."""
        with self._lock:
            self._idle.append((origin, connection, time.monotonic()))
            most = 0 if self._is_closed else self._most_idle
            surplus = self._idle[: max(0, len(self._idle) - most)]
            del self._idle[: len(surplus)]
        for _, each, _ in surplus:
            each.close()

    def close(self) -> None:
        """Close every idle connection, and those that come back later."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for _, each, _ in idle:
            each.close()


def _is_quiet(connection: http.client.HTTPConnection) -> bool:
    """Whether nothing has arrived: neither the end, nor bytes that nobody asked for."""
    connection.sock.settimeout(0)
    try:
        # The method of the base class, because a TLS socket takes no flags.
        socket.socket.recv(connection.sock, 1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
