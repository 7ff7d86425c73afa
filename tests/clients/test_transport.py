"""The SDK's transport, against servers of plain sockets that behave and that misbehave."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lossd_client import SocketTransport
from socket_servers import (
    OK,
    Serve,
    answering,
    echo,
    hang_up,
    make_certificate,
    needs_openssl,
    read_request,
    serving,
)


def post(
    client: httpx.Client, parts: Sequence[Any] = (b"x",), length: int | None = None
) -> httpx.Response:
    length = sum(memoryview(part).nbytes for part in parts) if length is None else length
    headers = {"content-length": str(length)}
    return client.post("/", content=list(parts), headers=headers)


def client_of(url: str, timeout_s: float = 20, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=timeout_s, transport=SocketTransport(**options))


@contextmanager
def talking_to(
    *each: Serve, timeout_s: float = 20, uds: str | None = None, **options: Any
) -> Iterator[httpx.Client]:
    """A client of a server that serves its connections so."""
    with serving(*each, uds=uds) as url, client_of(url, timeout_s, uds=uds, **options) as client:
        yield client


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_large_body_of_many_parts_goes_and_comes_unchanged(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(3_000_001)
    parts = [b"head", b"", noise.data, memoryview(b"x" * 70_001), np.zeros((0, 3)), b"tail"]
    uds = str(tmp_path / "socket") if kind == "unix" else None
    with talking_to(echo, uds=uds) as client:
        answer = post(client, parts)
        body = answer.extensions["body"]
        assert body == b"".join(memoryview(part).tobytes() for part in parts) == answer.content
        assert not body.readonly and post(client).content == b"x"


def test_threads_share_the_transport_and_each_gets_its_own_answer() -> None:
    def ask(number: int) -> bool:
        body = bytes([number]) * (1 << 20)
        return all(post(client, [body]).content == body for _ in range(5))

    with talking_to(*[echo] * 4) as client, ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(4)))


def test_a_connection_serves_many_requests() -> None:
    with talking_to(answering(OK, OK, OK)) as client:
        assert [post(client).text for _ in range(3)] == ["ok"] * 3


def test_what_may_be_done_meanwhile_is_done_before_the_answer_is_there() -> None:
    done = threading.Event()

    def answer_when_done(sock: socket.socket) -> None:
        read_request(sock)
        assert done.wait(20)
        sock.sendall(OK)

    with talking_to(answer_when_done) as client:
        answer = client.post("/", extensions={"meanwhile": done.set})
        assert answer.text == "ok"


def test_a_kept_connection_that_died_is_replaced() -> None:
    def wait_for_another(sock: socket.socket) -> None:
        answering(OK)(sock)
        read_request(sock)

    with talking_to(answering(OK), wait_for_another, answering(OK)) as client:
        assert post(client).text == "ok"
        time.sleep(0.05)  # the first connection has been closed while nobody used it
        assert post(client).text == "ok"
        assert post(client).text == "ok"  # the second one is closed by the request itself


def test_a_new_connection_that_dies_is_an_error() -> None:
    with talking_to(hang_up, answering(OK)) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="before an answer"):
            post(client)
        assert post(client).text == "ok"


def test_an_old_or_surplus_connection_is_not_kept() -> None:
    for options in ({"idle_s": 0.0}, {"most_idle": 0}):
        with talking_to(answering(OK, OK), answering(OK), **options) as client:
            assert post(client).text == "ok"
            # The first server thread is still waiting for its second request.
            assert post(client).text == "ok"


FULL = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def test_an_answer_before_the_whole_body_was_sent_is_that_answer() -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(FULL)

    def refuse_and_wait(sock: socket.socket) -> None:
        refuse(sock)
        done.wait(20)

    done, body = threading.Event(), b"x" * (64 << 20)
    with talking_to(refuse, refuse_and_wait, timeout_s=0.3) as client:
        assert post(client, [body]).status_code == 413
        assert post(client, [body]).status_code == 413
        done.set()


def test_silence_is_a_timeout_of_the_phase_it_is_in() -> None:
    done = threading.Event()

    def stay_silent(sock: socket.socket) -> None:
        done.wait(20)

    def stop_in_the_middle(sock: socket.socket) -> None:
        sock.sendall(OK[:-1])
        done.wait(20)

    with serving(stay_silent, stay_silent, stop_in_the_middle) as url:
        with client_of(url, timeout_s=0.1) as client:
            with pytest.raises(httpx.ReadTimeout):
                post(client)
            with pytest.raises(httpx.WriteTimeout):
                post(client, [b"x" * (64 << 20)])
            with pytest.raises(httpx.ReadTimeout):
                post(client)
        done.set()


def test_a_listener_that_accepts_nobody_is_a_timeout_of_connecting() -> None:
    with socket.socket() as listener, socket.socket() as other, socket.socket() as third:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (other, third):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with client_of(url, timeout_s=0.2) as client, pytest.raises(httpx.ConnectTimeout):
            post(client)


@pytest.mark.parametrize(
    ("url", "options", "kind"),
    [
        ("http://127.0.0.1:9", {}, httpx.ConnectError),
        ("http://lossd", {"uds": "/nowhere/at/all"}, httpx.ConnectError),
        (f"http://{'x' * 70}.example", {}, httpx.ConnectError),
        ("https://lossd", {"uds": "/nowhere/at/all"}, httpx.UnsupportedProtocol),
        ("ftp://127.0.0.1", {}, httpx.UnsupportedProtocol),
    ],
)
def test_what_cannot_be_reached_is_named(
    url: str, options: dict[str, str], kind: type[Exception]
) -> None:
    with client_of(url, **options) as client, pytest.raises(kind):
        post(client)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "abcde"),
        (b"\r\nto the end", "to the end"),
        (b"Content-Length: 0\r\n\r\n", ""),
        (b"Content-Length: 2\r\nX-Name: caf\xe9\r\n\r\nok", "ok"),
    ],
)
def test_a_body_may_end_in_every_way_that_http_has(answer: bytes, text: str) -> None:
    with talking_to(answering(b"HTTP/1.1 200 OK\r\n" + answer)) as client:
        assert post(client).text == text


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: some\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nX: y\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"SSH-2.0-server\r\n",
    ],
)  # fmt: skip
def test_an_answer_that_is_cut_too_long_or_no_http_is_an_error(answer: bytes) -> None:
    refused = pytest.raises(httpx.RemoteProtocolError)
    with talking_to(answering(answer), max_response_bytes=1000) as client, refused:
        post(client)


def test_a_request_that_would_confuse_a_server_is_not_sent() -> None:
    for wrong in ({"length": 2}, {"length": 0}, {"parts": [b"x" * 100_000], "length": 3}):
        refused = pytest.raises(httpx.LocalProtocolError, match="Content-Length")
        with talking_to(hang_up) as client, refused:
            post(client, **wrong)
    refused = pytest.raises(httpx.LocalProtocolError, match="line break")
    with talking_to(hang_up) as client, refused:
        client.get("/", headers={"x": "a\r\nb: c"})


@needs_openssl
def test_tls_is_spoken_and_checked(tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(certificate, key)

    def over_tls(sock: socket.socket) -> None:
        try:
            with here.wrap_socket(sock, server_side=True) as wrapped:
                echo(wrapped)
        except ssl.SSLError:
            return  # the client does not trust it

    body = np.random.default_rng(0).bytes(5_000_000)
    with serving(over_tls, over_tls) as url:
        address = url.replace("http:", "https:")
        trusting = ssl.create_default_context(cafile=certificate)
        with client_of(address, verify=trusting) as client:
            assert post(client, [body]).content == body and post(client).content == b"x"
        with client_of(address) as client, pytest.raises(httpx.ConnectError, match="certificate"):
            post(client)
