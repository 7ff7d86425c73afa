"""A request and its answer, for the routes that are too hot for a framework's."""

import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, runtime_checkable

from starlette.types import Receive, Send

from lossd.wire import Parts

Headers = list[tuple[bytes, bytes]]
_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,128}")


# An ASGI extension. Its "read" is a function of a buffer that is exactly as long as what is left of
# a body, which it fills, and of another function, which it tells how many bytes have come.
FILL = "lossd.fill"
Fill = Callable[[memoryview, Callable[[int], None]], Awaitable[None]]


class Incoming:
    """One request as it arrives.

    `seconds` takes the time of each phase, for `Server-Timing`. `request_id` is the caller's own,
    `given_id`, if it sent one that may be repeated. `fill` is there if the server has the extension
    `FILL`.
    """

    __slots__ = ("_headers", "fill", "given_id", "receive", "request_id", "seconds")

    def __init__(
        self,
        given_headers: Iterable[tuple[bytes, bytes]],
        receive: Receive,
        extensions: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        headers = dict(given_headers)
        self._headers = headers
        self.receive = receive
        self.fill: Fill | None = extensions.get(FILL, {}).get("read")
        self.seconds: dict[str, float] = {}
        given = headers.get(b"x-request-id")
        is_safe = given is not None and _SAFE_ID.fullmatch(given)
        self.given_id = bytes(given) if given is not None and is_safe else None
        self.request_id = self.given_id or new_id()

    def header(self, name: bytes) -> str:
        """The value of a header by its name in lower case; empty if it is absent."""
        value = self._headers.get(name)
        return "" if value is None else value.decode("latin-1")

    def signature(self) -> Headers:
        """The headers that every answer carries: the id, and the timing if there is any."""
        signed = [(b"x-request-id", self.request_id)]
        if self.seconds:
            signed.append((b"server-timing", timing(self.seconds)))
        return signed


def new_id() -> bytes:
    """An id for a request that came without one."""
    return b"%032x" % random.getrandbits(128)


def timing(seconds: Mapping[str, float]) -> bytes:
    """The value of `Server-Timing`."""
    phases = [f"{phase};dur={1e3 * s:.3f}" for phase, s in seconds.items()]
    return ", ".join(phases).encode()


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


# Of a whole body, and of what takes the time of each phase; None if it must go the usual way.
# Its answers are of one part, without headers of their own. Raises `LossdError`.
QuickHandle = Callable[[bytes, dict[str, float]], Answer | None]


@runtime_checkable
class Quick(Protocol):
    """A hot route that can answer some requests without waiting for anything."""

    def at_once(self, rest: str, incoming: Incoming) -> QuickHandle | None:
        """What answers bodies behind this head; None if nothing can. Raises `LossdError`."""
        ...


Hots = Mapping[str, Hot]
R = TypeVar("R")


def find_hot(hots: Mapping[str, R], path: str) -> tuple[R | None, str]:
    """What answers POSTs before the router sees them, and how the path goes on for it.

    Its keys are prefixes like `/v1/losses/`, or whole paths.
    """
    end = path.find("/", 4) + 1 or len(path)
    return hots.get(path[:end]), path[end:]
