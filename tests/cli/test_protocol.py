"""Requests that come whole are answered at once, which shows in nothing but the time."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from lossd.api.at_once import Head
from lossd.api.calls import LossCalls
from lossd.errors import BadOption

LOGITS, LABELS = [[2.0, 0.5, -1.25], [0.125, 1.5, 3.0]], [0, 2]
PATH = b"/v1/losses/cross_entropy"


def request(
    body: bytes, *headers: bytes, target: bytes = PATH, version: bytes = b"HTTP/1.1"
) -> bytes:
    lines = [b"POST %b %b" % (target, version), b"Host: here", b"Content-Type: application/json"]
    return b"\r\n".join([*lines, *headers, b"Content-Length: %d" % len(body), b"", b""]) + body


def body_of(**inputs: Any) -> bytes:
    return orjson.dumps({"inputs": {"logits": LOGITS, "labels": LABELS} | inputs})


GOOD = request(body_of())


class Caller:
    """One connection."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.rest = b""

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; a status of 0 where the connection was closed."""
        while b"\r\n\r\n" not in self.rest:
            more = self.socket.recv(1 << 16)
            if not more:
                return 0, {}, self.rest
            self.rest += more
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        headers = {name.lower(): value for name, _, value in pairs}
        size = int(headers.get("content-length", 0))
        while len(self.rest) < size:
            self.rest += self.socket.recv(1 << 16)
        body, self.rest = self.rest[:size], self.rest[size:]
        return int(first.split()[1]), headers, body


@pytest.fixture
def caller(url: str) -> Iterator[Caller]:
    """A connection to a service that has answered calls like `GOOD`."""
    made = Caller(url)
    for _ in range(3):
        made.send(GOOD)
        assert made.answer()[0] == 200
    with made.socket:
        yield made


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Of each request that came whole: whether it was answered at once."""
    found: list[bool] = []
    usual = Head.answer

    def watched(self: Head, body: bytes) -> bytes | None:
        text = usual(self, body)
        found.append(text is not None)
        return text

    monkeypatch.setattr(Head, "answer", watched)
    return found


def test_what_comes_whole_and_what_comes_in_pieces_get_the_same_answer(
    caller: Caller, at_once: list[bool]
) -> None:
    caller.send(GOOD)
    status, headers, body = caller.answer()
    assert (status, at_once) == (200, [True])
    for cut in (1, 6, 40, GOOD.index(b"\r\n\r\n") + 2, GOOD.index(b"\r\n\r\n") + 4, len(GOOD) - 1):
        caller.send(GOOD[:cut])
        caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        httpx.get(f"http://{_place(caller)}/livez")  # meanwhile the first piece arrives
        caller.send(GOOD[cut:])
        other, others, again = caller.answer()
        assert (other, again, others.keys()) == (200, body, headers.keys())
        phases = [
            [part.split(";")[0] for part in each["server-timing"].split(", ")]
            for each in (headers, others)
        ]
        assert phases[0] == phases[1]
    assert at_once == [True]


def _place(caller: Caller) -> str:
    host, port = caller.socket.getpeername()
    return f"{host}:{port}"


def test_a_request_byte_by_byte_is_answered(caller: Caller) -> None:
    caller.send(*[GOOD[i : i + 1] for i in range(len(GOOD))])
    assert caller.answer()[0] == 200


def test_answers_come_in_the_order_of_their_requests(caller: Caller) -> None:
    """Those that are answered at once wait for those that are not."""
    slow = request(orjson.dumps({"inputs": {"prediction": [0.5], "target": [1.0]}}),
                   target=b"/v1/losses/charbonnier")  # fmt: skip
    asked = [GOOD, slow, GOOD, GOOD, slow, slow, GOOD]
    caller.send(b"".join(asked))
    losses = [orjson.loads(caller.answer()[2])["loss"] for _ in asked]
    names = {GOOD: "cross_entropy", slow: "charbonnier"}
    assert losses == [names[each] for each in asked]


@pytest.mark.parametrize(
    ("inputs", "at"),
    [
        ({"labels": [0, 3]}, "inputs.labels"),
        ({"labels": [0.5, 1]}, "inputs.labels"),
        ({"logits": [[1e39, 0.5, 1.0], [1.5, 2.0, 3.0]]}, "inputs.logits"),
        ({"logits": [["NaN", 0.5, 1.0], [1.5, 2.0, 3.0]]}, "inputs.logits"),
        ({"logits": [[0.5, 1.0], [1.5, 2.0, 3.0]]}, "inputs.logits"),
    ],
)
def test_what_is_wrong_is_named_however_often_it_was_right(
    caller: Caller, inputs: dict[str, Any], at: str
) -> None:
    caller.send(request(body_of(**inputs)), GOOD)
    status, _, body = caller.answer()
    assert status in (400, 413, 422) and orjson.loads(body)["at"].startswith(at)
    assert caller.answer()[0] == 200


@pytest.mark.parametrize(
    "asked",
    [
        request(body_of(), target=PATH + b"?a=b"),
        request(body_of(), target=PATH.replace(b"loss", b"%6coss")),
        request(body_of(), version=b"HTTP/1.0"),
        request(body_of(), b"Accept: application/x-npz"),
        GOOD.replace(b"Content-Length: %d" % len(body_of()), b"Transfer-Encoding: chunked").replace(
            body_of(), b"%x\r\n%b\r\n0\r\n\r\n" % (len(body_of()), body_of())
        ),
    ],
    ids=["query", "escape", "1.0", "other format", "chunked"],
)
def test_unusual_requests_are_answered_as_ever(caller: Caller, asked: bytes) -> None:
    caller.send(asked)
    assert caller.answer()[0] == 200


def test_ids_are_repeated_or_made(caller: Caller, at_once: list[bool]) -> None:
    caller.send(request(body_of(), b"X-Request-Id: mine"), request(body_of(), b"X-Request-Id: a b"))
    first, second = caller.answer()[1], caller.answer()[1]
    caller.send(GOOD)
    third = caller.answer()[1]
    caller.send(GOOD)
    ids = [each["x-request-id"] for each in (first, second, third, caller.answer()[1])]
    assert ids[0] == "mine" and [len(each) for each in ids[1:]] == [32] * 3
    assert len(set(ids)) == 4 and all(at_once)


def test_a_connection_that_is_to_be_closed_is_closed(caller: Caller, at_once: list[bool]) -> None:
    caller.send(request(body_of(), b"Connection: close"))
    status, headers, _ = caller.answer()
    assert (status, headers["connection"], at_once) == (200, "close", [True])
    assert caller.answer()[0] == 0


def test_what_is_no_http_is_refused_after_an_answer(caller: Caller) -> None:
    caller.send(GOOD + b"\x00nonsense\r\n\r\n")
    assert [caller.answer()[0] for _ in range(3)] == [200, 400, 0]


def test_who_does_not_read_yet_gets_all_answers_later(caller: Caller, at_once: list[bool]) -> None:
    caller.socket.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):  # nobody reads, so there comes an end to what is taken
        while True:
            sent += caller.socket.send(GOOD[sent % len(GOOD) :] + GOOD * 100)
    caller.socket.settimeout(30)
    whole = sent // len(GOOD)
    assert all(caller.answer()[0] == 200 for _ in range(whole))
    caller.send(GOOD[sent % len(GOOD) :])
    assert caller.answer()[0] == 200
    assert any(at_once) and len(at_once) < whole  # the others waited in uvicorn's way


@pytest.mark.parametrize("err", [RuntimeError("what nobody expected"), BadOption("refused")])
def test_what_goes_wrong_at_once_goes_the_usual_way(
    url: str, monkeypatch: pytest.MonkeyPatch, err: Exception
) -> None:
    def failing(*_: object) -> None:
        raise err

    monkeypatch.setattr(LossCalls, "_like_one_before", failing)
    made = Caller(url)
    with made.socket:
        for _ in range(3):
            made.send(GOOD)
            assert made.answer()[0] == 200
