"""The SDK's exchange that writes while it reads, against plain sockets."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from lossd_client import SocketTransport
from lossd_client._duplex import Duplex
from socket_servers import Serve, make_certificate, needs_openssl, serving

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NOISE = np.random.default_rng(0).bytes(8_000_000)


def echo_chunks(sock: socket.socket) -> None:
    """Sends each piece back before it reads on, so whoever does not read is not read from."""
    file = sock.makefile("rb")
    while file.readline().strip():
        pass
    sock.sendall(HEAD)
    while size := int(file.readline(), 16):
        left = size
        while left:
            piece = file.read1(min(left, 65536))
            sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            left -= len(piece)
        file.readline()
    sock.sendall(b"0\r\n\r\n")


@contextmanager
def opened(
    *each: Serve, uds: str | None = None, timeout_s: float = 20, tls: ssl.SSLContext | None = None
) -> Iterator[Duplex]:
    with serving(*each, uds=uds) as url, SocketTransport(uds=uds, verify=tls or True) as transport:
        address = url.replace("http:", "https:") if tls else url
        headers = {"transfer-encoding": "chunked"}
        timeouts = {"timeout": httpx.Timeout(timeout_s).as_dict()}
        request = httpx.Request("POST", address, headers=headers, extensions=timeouts)
        with closing(transport.open_duplex(request)) as duplex:
            yield duplex


def echoed(duplex: Duplex) -> bytes:
    """What comes back of 8 MB, all of which are queued before the first byte is read."""
    duplex.put(NOISE)
    duplex.put(b"")
    duplex.end()
    assert duplex.head().status == 200
    got = memoryview(bytearray(len(NOISE) + 1))
    return bytes(got[: duplex.readinto(got)])


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_more_goes_each_way_than_fits_between(kind: str, tmp_path: Path) -> None:
    with opened(echo_chunks, uds=str(tmp_path / "s") if kind == "unix" else None) as duplex:
        assert echoed(duplex) == NOISE


@needs_openssl
def test_more_goes_each_way_than_fits_between_over_tls(tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(certificate, key)

    def over_tls(sock: socket.socket) -> None:
        with here.wrap_socket(sock, server_side=True) as wrapped:
            echo_chunks(wrapped)

    trusting = ssl.create_default_context(cafile=certificate)
    with opened(over_tls, tls=trusting) as duplex:
        assert echoed(duplex) == NOISE


def test_silence_is_an_error_in_time() -> None:
    def say_nothing(sock: socket.socket) -> None:
        while sock.recv(65536):
            pass

    with opened(say_nothing, timeout_s=0.2) as duplex:
        duplex.put(b"x")
        with pytest.raises(TimeoutError, match=r"0\.2 s"):
            duplex.head()


def test_an_answer_that_came_before_the_connection_broke_is_read() -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(1)
        sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")

    with opened(refuse) as duplex:
        duplex.put(NOISE)
        head = duplex.head()
        assert head.status == 404 and head.read() == b"no"


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP", HEAD, HEAD + b"5\r\nab", HEAD + b"2\r\nab\r\n", HEAD + b"nonsense\r\n"]
)
def test_an_answer_that_stops_early_is_never_whole(answer: bytes) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answer)

    with opened(serve) as duplex:
        duplex.put(b"x")
        with pytest.raises((OSError, http.client.HTTPException)):
            duplex.head()
            duplex.readinto(memoryview(bytearray(100)))
