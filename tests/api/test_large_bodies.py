"""Large bodies are read from the connection to where they are used, past the server's parser."""

import asyncio
import contextlib
import gc
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import uvloop
from numpy.typing import NDArray

from conftest import running
from lossd.app import create_app
from lossd.cli.filling import Filling
from lossd.settings import Settings
from lossd_client._calls import compute_request
from lossd_client._wire import decode, pack_all
from lossd_client.result import Sent

ROWS, COLUMNS = 201, 1001  # 0.8 MB, twice
SMALL = b"POST /v1/losses/mse HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
SMALL_BODY = b'{"inputs": {"prediction": [0.5], "target": [1.25]}}'
SMALL += b"content-length: %d\r\n\r\n%b" % (len(SMALL_BODY), SMALL_BODY)


def numbers(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((ROWS, COLUMNS)).astype(np.float32)


def large(prediction: NDArray[np.float32]) -> bytes:
    """A call of mse to zeros, head and body."""
    inputs = {"prediction": prediction, "target": np.zeros_like(prediction)}
    request = compute_request("mse", pack_all(inputs), {"wrt": ["prediction"]}, Sent(inputs))
    lines = [b"POST /v1/losses/mse HTTP/1.1", b"host: x"]
    lines += [f"{key}: {value}".encode() for key, value in request.headers.items()]
    return b"\r\n".join([*lines, b"", b""]) + b"".join(map(bytes, request.content or ()))


class Caller:
    """One connection, on which requests may be sent before answers are read."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(20)
        self.send, self._answers = sock.sendall, sock.makefile("rb")

    def answer(self) -> tuple[int, bytes]:
        """The next answer's status and body."""
        status = int(self._answers.readline().split()[1])
        length = 0
        while (line := self._answers.readline()) != b"\r\n":
            key, _, value = line.partition(b":")
            length = int(value) if key.lower() == b"content-length" else length
        return status, self._answers.read(length)


@contextmanager
def connected(url: str) -> Iterator[Caller]:
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as sock:
        yield Caller(sock)


def gradient_in(answer: tuple[int, bytes]) -> NDArray[np.float32]:
    assert answer[0] == 200, answer
    tensors, _ = decode(bytearray(answer[1]))
    return tensors["gradients.prediction"]


def is_that_of(prediction: NDArray[np.float32], answer: tuple[int, bytes]) -> bool:
    return bool(np.allclose(gradient_in(answer), 2 * prediction / prediction.size, rtol=1e-5))


@pytest.mark.parametrize("cuts", [[], [100], [400, 70_000], [1_000, 300_000, 300_001, 1_600_000]])
def test_a_body_is_whole_wherever_it_is_cut(url: str, cuts: list[int]) -> None:
    with connected(url) as caller:
        for seed in range(2):  # a connection serves the next request as if nothing had been
            text, prediction = large(numbers(seed)), numbers(seed)
            for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
                caller.send(text[start:stop])
                time.sleep(0.02)
            assert is_that_of(prediction, caller.answer())


def test_what_follows_a_large_body_at_once_is_the_next_request(url: str) -> None:
    with connected(url) as caller:
        caller.send(large(numbers(0)) + SMALL + large(numbers(1)) + SMALL)
        for seed in range(2):
            assert is_that_of(numbers(seed), caller.answer())
            assert caller.answer()[0] == 200


def test_a_large_body_may_take_longer_than_a_connection_is_kept_idle() -> None:
    app = create_app(Settings(threads=1))
    text = large(numbers(0))
    with running(Settings(threads=1), app, timeout_keep_alive=1) as url, connected(url) as caller:
        for _ in range(3):  # from some call on, it is answered at once
            caller.send(SMALL)
            assert caller.answer()[0] == 200
        cut = text.index(b"\r\n\r\n") + 1004
        caller.send(SMALL + text[:cut])  # what is answered at once begins to count idle seconds
        assert caller.answer()[0] == 200
        time.sleep(2)
        caller.send(text[cut:])
        assert is_that_of(numbers(0), caller.answer())


def test_a_body_that_ended_early_holds_no_memory() -> None:
    async def fill(fails: bool) -> weakref.ref[Any]:
        room = np.empty(100, np.uint8)
        gone = weakref.ref(room)
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        transport, owner = await loop.create_connection(asyncio.Protocol, sock=ours)
        transport.pause_reading()

        def hold(count: int) -> None:
            if fails:
                raise ValueError

        filling = Filling(owner, room.data, hold)
        del room
        theirs.sendall(bytes(100))
        with contextlib.suppress(ValueError):
            await filling.fill(transport)
        assert transport.get_protocol() is owner
        assert gone() is None  # though something still looks at the filling
        theirs.close()
        transport.close()
        return gone

    gc.disable()
    try:
        for fails in (False, True):
            assert uvloop.run(fill(fails))() is None
    finally:
        gc.enable()


def test_callers_who_leave_within_a_large_body_leave_nothing_behind() -> None:
    size = len(large(numbers(0)))
    with running(Settings(max_bytes_in_flight=2 * size, threads=1)) as url:
        for share in (0.2, 0.5, 0.9) * 3:
            with connected(url) as caller:
                caller.send(large(numbers(0))[: int(share * size)])
                time.sleep(0.02)
        with connected(url) as caller:
            caller.send(large(numbers(2)))
            assert is_that_of(numbers(2), caller.answer())


def test_a_large_body_that_is_too_slow_is_refused_and_what_is_left_of_it_is_no_request() -> None:
    text = large(numbers(0))
    with running(Settings(body_timeout_s=0.3, threads=1)) as url, connected(url) as caller:
        caller.send(text[:1_000_000])
        status, problem = caller.answer()
        assert status == 504 and b"body did not arrive in time" in problem
        caller.send(text[1_000_000:])
        caller.send(SMALL)
        assert caller.answer()[0] == 200


def test_a_body_for_which_there_is_no_room_is_refused_and_swallowed() -> None:
    text = large(numbers(0))
    with running(Settings(max_bytes_in_flight=len(text), threads=1)) as url:
        with connected(url) as first, connected(url) as second:
            first.send(text[:1_000_000])
            time.sleep(0.2)
            second.send(text + SMALL)
            status, problem = second.answer()
            assert status == 503 and b"overloaded" in problem
            assert second.answer()[0] == 200
            first.send(text[1_000_000:])
            assert is_that_of(numbers(0), first.answer())
        assert httpx.get(f"{url}/readyz").is_success
