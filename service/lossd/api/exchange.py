"""A request and its answer, for the routes that are too hot for a framework's."""

import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Receive, Scope, Send

from lossd.wire import Parts

Headers = list[tuple[bytes, bytes]]
_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Incoming:
    """One request as it arrives.

    `seconds` takes the time of each phase, for `Server-Timing`. `request_id` is the caller's own,
    if it sent one that may be repeated.
    """

    __slots__ = ("_headers", "receive", "request_id", "seconds")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        self._headers = headers
        self.receive = receive
        self.seconds: dict[str, float] = {}
        given = headers.get(b"x-request-id")
        self.request_id = (
            bytes(given)
            if given is not None and _SAFE_ID.fullmatch(given)
            else b"%032x" % random.getrandbits(128)
        )

    def header(self, name: bytes) -> str:
        """The value of a header by its name in lower case; empty if it is absent."""
        value = self._headers.get(name)
        return "" if value is None else value.decode("latin-1")

    def signature(self) -> Headers:
        """The headers that every answer carries: the id, and the timing if there is any."""
        signed = [(b"x-request-id", self.request_id)]
        if self.seconds:
            phases = [f"{phase};dur={1e3 * s:.3f}" for phase, s in self.seconds.items()]
            signed.append((b"server-timing", ", ".join(phases).encode()))
        return signed


@dataclass(slots=True)
class Answer:
    """What goes back: parts that are sent one after another, and kept until they are sent."""

    media_type: str
    parts: Parts
    headers: Mapping[str, str] | None = None

    async def send(self, send: Send, more: Headers) -> None:
        """Send it, with more headers."""
        parts = self.parts
        headers = [
            (b"content-type", self.media_type.encode("latin-1")),
            (b"content-length", b"%d" % sum(map(len, parts))),
            *more,
        ]
        for name, each in (self.headers or {}).items():
            headers.append((name.encode("latin-1"), each.encode("latin-1")))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last = len(parts) - 1
        for i, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": i < last})


Handle = Callable[[Incoming], Awaitable[Answer]]


class Hot(Protocol):
    """Answers POSTs below one prefix."""

    def match(self, rest: str) -> Handle | None:
        """What answers the path that goes on like this; None if nothing here does."""
        ...


Hots = Mapping[str, Hot]


def find_hot(hots: Hots, scope: Scope) -> Handle | None:
    """What answers a request before the router sees it: prefixes like `/v1/losses/`, or paths."""
    if scope["method"] != "POST":
        return None
    path: str = scope["path"]
    end = path.find("/", 4) + 1 or len(path)
    hot = hots.get(path[:end])
    return None if hot is None else hot.match(path[end:])
