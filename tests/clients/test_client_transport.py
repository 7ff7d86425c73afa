"""What the blocking client makes of its transport, and when it takes httpx's."""

import asyncio
import gc
import gzip
import socket
import weakref

import httpx
import numpy as np
import pytest

from lossd_client import AsyncClient, Client, LossdError, TooLarge
from socket_servers import OK, answering, serving


def test_a_body_over_the_services_limit_is_its_refusal(url: str) -> None:
    with Client(url) as client, pytest.raises(TooLarge, match="at most 4000000 bytes"):
        client.compute("l2_penalty", weights=np.zeros(16_000_000, np.float32))


def test_an_answer_in_another_encoding_is_decoded() -> None:
    body = gzip.compress(b'{"lossd": "0"}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)

    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(head + body)

    with serving(serve) as url, Client(url) as client:
        assert client.version() == {"lossd": "0"}


def test_an_answer_that_is_no_result_is_an_error_of_the_sdk() -> None:
    refused = pytest.raises(LossdError, match="not in a form")
    with serving(answering(OK)) as url, Client(url) as client, refused as caught:
        client.compute("mse", prediction=[1.0], target=[1.0])
    assert caught.value.status == 200


def test_a_proxy_of_the_environment_is_used_unless_it_is_not_for_this_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def proxied(sock: socket.socket) -> None:
        asked.append(sock.recv(65536))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    asked: list[bytes] = []
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(proxied) as url:
        monkeypatch.setenv("http_proxy", url)
        with Client("http://lossd.example") as client:
            assert client.version() == {}
    assert asked[0].startswith(b"GET http://lossd.example/version ")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(proxied) as url, Client(url) as client:
        assert client.version() == {}
    assert asked[1].startswith(b"GET /version ")


def test_a_unix_socket_and_a_transport_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="uds"):
        Client(uds="/x", transport=httpx.MockTransport(lambda _: httpx.Response(200)))


@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
def test_a_call_that_is_over_holds_no_memory(url: str, kind: str) -> None:
    """Without the garbage collector's help, which may come after many large calls."""

    async def compute() -> None:
        async with AsyncClient(url) as client:
            await client.compute("mse", prediction=np.zeros(1000), target=np.zeros(1000))
            assert not [each for each in gc.get_objects() if type(each) is httpx.Response]

    gc.collect()
    gc.disable()
    try:
        if kind == "asynchronous":
            asyncio.run(compute())
            return
        sent = np.zeros(1000)
        watched = weakref.ref(sent)
        with Client(url) as client:
            client.compute("mse", prediction=sent, target=np.zeros(1000))
            del sent
            assert watched() is None
    finally:
        gc.enable()
