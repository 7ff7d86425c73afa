"""One HTTP/1.1 exchange whose request is written while its answer is read.

One thread does both: whoever waits for bytes of the answer sends meanwhile. So there is no thread
to leave behind, and TLS, which two threads may not use at once, works.
"""

import contextlib
import http.client
import io
import selectors
import socket
import ssl
from collections import deque
from typing import Any

_PIECE_BYTES = 256 * 1024


class Duplex:
    """A request in chunks, and its answer. Takes the connection over; `close` it in the end.

    Methods raise `TimeoutError` after `timeout_s` without a byte either way, `OSError`, and
    `http.client.HTTPException` for what is no HTTP.
    """

    def __init__(
        self, connection: http.client.HTTPConnection, head: bytes, timeout_s: float | None
    ) -> None:
        self._connection = connection
        self._wire = _Wire(connection.sock, timeout_s)
        self._answer = http.client.HTTPResponse(self._wire, method="POST")  # type: ignore[arg-type] # it needs makefile alone
        self._wire.put(head)

    def put(self, data: Any) -> None:
        """Queue a chunk of the body, and send what can be sent without waiting."""
        view = memoryview(data).cast("B")
        if view.nbytes:
            self._wire.put(b"%x\r\n" % view.nbytes, view, b"\r\n")

    def end(self) -> None:
        """Say that the body is whole."""
        self._wire.put(b"0\r\n\r\n")

    def head(self) -> http.client.HTTPResponse:
        """The status and headers of the answer, once they are there."""
        self._answer.begin()
        return self._answer

    def readinto(self, view: memoryview) -> int:
        """Fill the view from the answer's body; fewer bytes only where the body is whole."""
        at = 0
        while at < len(view) and (count := self._answer.readinto(view[at:])):
            at += count
        return at

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self._answer.close()
        self._wire.release()
        self._connection.close()


class _Wire(io.RawIOBase):
    """What http.client reads from; sends what is queued while it waits for bytes to read."""

    def __init__(self, sock: socket.socket, timeout_s: float | None) -> None:
        sock.settimeout(0)
        self._sock, self._timeout_s = sock, timeout_s
        self._queue: deque[memoryview] = deque()
        self._failure: OSError | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)

    def makefile(self, mode: str) -> io.BufferedReader:
        """As of a socket: the bytes that come."""
        return io.BufferedReader(self, _PIECE_BYTES)

    def readable(self) -> bool:
        """Yes."""
        return True

    def release(self) -> None:
        """Let go of the socket, and of all that is queued."""
        self._queue.clear()
        self._selector.close()

    def put(self, *parts: Any) -> None:
        """Queue bytes to send, and send what can be sent without waiting."""
        self._queue += [memoryview(part) for part in parts]
        with contextlib.suppress(ssl.SSLWantReadError):
            while self._send():
                pass

    def readinto(self, view: Any) -> int:
        """Some bytes; 0 at the end. Raises `TimeoutError`, and what ended the connection."""
        while True:
            wanted = selectors.EVENT_READ
            try:
                count = self._sock.recv_into(view)
                if not count and self._failure is not None:
                    raise self._failure  # why nothing more comes
                return count
            except ssl.SSLWantWriteError:
                wanted |= selectors.EVENT_WRITE
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            try:
                if self._send():
                    continue
                wanted |= selectors.EVENT_WRITE if self._queue else 0
            except ssl.SSLWantReadError:
                pass
            self._selector.modify(self._sock, wanted)
            if not self._selector.select(self._timeout_s):
                raise TimeoutError(f"no bytes either way within {self._timeout_s:g} s")

    def _send(self) -> bool:
        """Send a little of what is queued; whether that went without waiting."""
        if not self._queue:
            return False
        part = self._queue.popleft()
        try:
            sent = self._sock.send(part[:_PIECE_BYTES])
        except (BlockingIOError, ssl.SSLWantWriteError):
            sent = 0
        except ssl.SSLWantReadError:
            self._queue.appendleft(part)
            raise
        except OSError as err:
            # The answer that says why may be there already: read on, and send no more.
            self._failure = err
            self._queue.clear()
            return False
        if sent < len(part):
            self._queue.appendleft(part[sent:])
        return bool(sent)
