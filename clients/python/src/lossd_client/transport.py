"""An httpx transport that copies large bodies neither on their way out nor on their way in."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import numpy as np

from lossd_client._connections import Origin, Pool, connect
from lossd_client._duplex import Duplex

_PORTS = {"http": 80, "https": 443}
_JOINED_BYTES = 64 * 1024  # what is sent together with the head, so that small calls are one packet
_PIECE_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024  # a longer read locks the socket for who writes to it meanwhile
_LOOK_S = 0.001  # long enough to find what has arrived already


class Unanswered(httpx.RemoteProtocolError):
    """The connection ended before the first byte of an answer came."""


class SocketTransport(httpx.BaseTransport):
    """httpx over plain sockets, HTTP/1.1. Thread-safe. Proxies of the environment are not used.

    - `verify`: an `ssl.SSLContext`, or whether certificates are checked (against httpx's own set).
    - `uds`: path of a Unix socket to connect to, whatever the URL's host; http only.
    - `most_idle`, `idle_s`: how many connections are kept open, each for how many idle seconds.
    - `max_response_bytes`: a longer answer is refused, before memory is taken where it says so.

    A request's body is an iterable of bytes-like buffers whose `Content-Length` the caller sets.
    They are sent as they are. An answer is read whole, before `handle_request` returns, into one
    fresh and writable buffer: `response.extensions["body"]`, a memoryview, still encoded if the
    answer has a `Content-Encoding`. Reading the response in httpx's way works too, and copies.
    `request.extensions["meanwhile"]`, if there is one, is called when the request is sent, before
    its answer is waited for; again if it is sent again. What it raises is raised as it is.

    httpx's timeouts hold for each pause: `connect`, `write`, `read`. There is no wait for a free
    connection, hence no `pool` timeout. A kept connection that turns out dead before any answer is
    replaced once by a new one, so the request must be safe to repeat; then
    `response.extensions["resent"]` is true.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | bool = True,
        uds: str | None = None,
        most_idle: int = 10,
        idle_s: float = 5.0,
        max_response_bytes: int = 4 * 1024**3,
    ) -> None:
        self._verify, self._uds, self._most_bytes = verify, uds, max_response_bytes
        self._pool = Pool(most_idle, idle_s)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its whole answer. Raises `httpx.TransportError`."""
        origin = self._origin(request.url)
        kept = self._pool.take(origin)
        if kept is not None:
            try:
                return self._exchange(request, origin, kept)
            except Unanswered:
                pass  # it died between two requests; the next one is new
        response = self._exchange(request, origin, self._connect(request, origin))
        response.extensions["resent"] = kept is not None
        return response

    def open_duplex(self, request: httpx.Request) -> Duplex:
        """Send the head of a request whose body follows in chunks, on a connection of its own.

        Raises `httpx.TransportError`.
        """
        connection = self._connect(request, self._origin(request.url))
        try:
            with named_as(httpx.WriteTimeout, httpx.WriteError, request):
                return Duplex(connection, _head(request), _timeout_s(request, "read"))
        except httpx.TransportError:
            connection.close()
            raise

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def _origin(self, url: httpx.URL) -> Origin:
        if url.scheme not in _PORTS or not url.host:
            raise httpx.UnsupportedProtocol(f"expected http://host or https://host, got {url}")
        if self._uds is not None and url.scheme != "http":
            raise httpx.UnsupportedProtocol("a Unix socket is spoken to with http only")
        return url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]

    def _connect(self, request: httpx.Request, origin: Origin) -> http.client.HTTPConnection:
        timeout_s = _timeout_s(request, "connect")
        tls = self._tls() if origin[0] == "https" else None
        with named_as(httpx.ConnectTimeout, httpx.ConnectError, request):
            return connect(origin, timeout_s, tls, self._uds)

    def _tls(self) -> ssl.SSLContext:
        if isinstance(self._verify, bool):
            # Made only when it is needed: reading the certificates takes tens of milliseconds.
            self._verify = httpx.create_ssl_context(verify=self._verify)
            self._verify.set_alpn_protocols(["http/1.1"])
        return self._verify

    def _exchange(
        self, request: httpx.Request, origin: Origin, connection: http.client.HTTPConnection
    ) -> httpx.Response:
        is_reusable = False
        try:
            failure = _send(request, connection)
            if failure is None and "meanwhile" in request.extensions:
                request.extensions["meanwhile"]()
            with closing(http.client.HTTPResponse(connection.sock, method=request.method)) as got:
                _await_answer(request, connection, got, failure)
                with named_as(httpx.ReadTimeout, httpx.ReadError, request):
                    body = _read_body(got, self._most_bytes)
                is_reusable = failure is None and not got.will_close
            return _response(got, body)
        finally:
            if is_reusable:
                self._pool.keep(origin, connection)
            else:
                connection.close()


@contextmanager
def named_as(
    timed_out: type[httpx.TimeoutException],
    failed: type[httpx.NetworkError],
    request: httpx.Request,
) -> Iterator[None]:
    """Raise what sockets and http.client raise as httpx's errors."""
    try:
        yield
    except TimeoutError as err:
        raise timed_out(str(err), request=request) from err
    except http.client.HTTPException as err:
        detail = f"not an HTTP answer: {type(err).__name__} {err}"[:500]
        raise httpx.RemoteProtocolError(detail, request=request) from err
    except (OSError, UnicodeError) as err:
        raise failed(str(err), request=request) from err


def _timeout_s(request: httpx.Request, phase: str) -> float | None:
    timeout_s: float | None = request.extensions.get("timeout", {}).get(phase)
    return timeout_s


def _head(request: httpx.Request) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % pair for pair in request.headers.raw]
    if any(char in line for line in lines for char in (b"\r", b"\n", b"\0")):
        raise httpx.LocalProtocolError("a header or the path holds a line break", request=request)
    return b"\r\n".join([*lines, b"", b""])


def _send(request: httpx.Request, connection: http.client.HTTPConnection) -> OSError | None:
    """Send all of it; what ended that early is returned, because an answer may be there already.

    Raises `httpx.LocalProtocolError` for a body of another length than its `Content-Length`.
    """
    left = int(request.headers.get("content-length", "0"))
    pending: bytearray | None = bytearray(_head(request))
    assert isinstance(request.stream, httpx.SyncByteStream)
    connection.sock.settimeout(_timeout_s(request, "write"))
    try:
        for part in request.stream:
            if not memoryview(part).nbytes:
                continue
            view = memoryview(part).cast("B")
            left -= view.nbytes
            if left < 0:
                break
            if pending is not None and len(pending) + view.nbytes <= _JOINED_BYTES:
                pending += view
                continue
            if pending is not None:
                _send_buffer(connection, memoryview(pending))
                pending = None
            _send_buffer(connection, view)
        if pending is not None and not left:
            _send_buffer(connection, memoryview(pending))
    except OSError as err:
        return err
    if left:
        detail = "the body is not as long as its Content-Length; without one, no body can be sent"
        raise httpx.LocalProtocolError(detail, request=request)
    return None


def _send_buffer(connection: http.client.HTTPConnection, view: memoryview) -> None:
    # Not sendall: its timeout is for the whole, and a slow link is no fault.
    at = 0
    while at < view.nbytes:
        at += connection.sock.send(view[at : at + _PIECE_BYTES])


def _await_answer(
    request: httpx.Request,
    connection: http.client.HTTPConnection,
    got: http.client.HTTPResponse,
    failure: OSError | None,
) -> None:
    """Read the head of the answer. After a failure to send, only an answer that is there counts."""
    stuck = isinstance(failure, TimeoutError)
    connection.sock.settimeout(_LOOK_S if stuck else _timeout_s(request, "read"))
    try:
        has_begun = bool(got.fp.peek(1))
    except TimeoutError as err:
        late = httpx.WriteTimeout if stuck else httpx.ReadTimeout
        raise late(str(failure or err), request=request) from err
    except OSError as err:
        failure, has_begun = failure or err, False
    if not has_begun:
        detail = f"the connection ended before an answer: {failure or 'closed'}"
        raise Unanswered(detail, request=request) from failure
    with named_as(httpx.ReadTimeout, httpx.ReadError, request):
        got.begin()
    if got.status < 200:
        raise httpx.RemoteProtocolError(f"answered {got.status}, which is no final answer")


def _read_body(got: http.client.HTTPResponse, most_bytes: int) -> memoryview:
    """The body in a buffer of its own. Raises `httpx.RemoteProtocolError` if short or too long."""
    if got.length is None:
        return _read_unsized(got, most_bytes)
    if got.length > most_bytes:
        raise _too_long(most_bytes, f"{got.length} bytes")
    length = got.length
    body = np.empty(length, np.uint8).data
    at = 0
    while at < length:
        count = got.readinto(body[at : at + _READ_BYTES])
        if not count:
            raise httpx.RemoteProtocolError(f"the answer ended after {at} of {length} bytes")
        at += count
    return body


def _read_unsized(got: http.client.HTTPResponse, most_bytes: int) -> memoryview:
    """A body whose length is not known before its end."""
    declared = got.headers.get("content-length")
    if declared is not None and not got.chunked:
        raise httpx.RemoteProtocolError(f"Content-Length is no number: {declared[:50]!r}")
    body = bytearray()
    while piece := got.read(_PIECE_BYTES):
        if len(body) + len(piece) > most_bytes:
            raise _too_long(most_bytes, "more")
        body += piece
    if not body and not got.chunked:
        # http.client takes a head that was cut for a whole one; this is what is left of it.
        raise httpx.RemoteProtocolError("the answer has neither a length nor a body")
    return memoryview(body)


def _too_long(most_bytes: int, found: str) -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError(
        f"expected an answer of at most {most_bytes} bytes, got {found}"
    )


class _Body(httpx.SyncByteStream):
    """A body that has been read."""

    def __init__(self, body: memoryview) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        if self._body.nbytes:
            yield bytes(self._body)


def _response(got: http.client.HTTPResponse, body: memoryview) -> httpx.Response:
    return httpx.Response(
        got.status,
        headers=[(k.encode("latin-1"), v.encode("latin-1")) for k, v in got.headers.items()],
        stream=_Body(body),
        extensions={
            "http_version": b"HTTP/1.0" if got.version == 10 else b"HTTP/1.1",
            "reason_phrase": got.reason.encode("latin-1"),
            "body": body,
        },
    )
