"""A request and its answer, for the routes that are too hot for a framework's."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from starlette.types import Receive, Scope, Send

from lossd.wire import Parts


class Incoming:
    """One request as it arrives. `seconds` takes the time of each phase, for `Server-Timing`."""

    __slots__ = ("_headers", "receive", "seconds")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self.receive = receive
        self.seconds: dict[str, float] = scope["state"]["seconds"]

    def header(self, name: bytes) -> str:
        """The value of a header by its name in lower case; empty if it is absent."""
        return self._headers.get(name, b"").decode("latin-1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: parts that are sent one after another, and kept until they are sent."""

    media_type: str
    parts: Parts
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send, more: list[tuple[bytes, bytes]]) -> None:
        """Send it, with more headers."""
        headers = [
            (b"content-type", self.media_type.encode("latin-1")),
            (b"content-length", b"%d" % sum(map(len, self.parts))),
            *(
                (name.encode("latin-1"), each.encode("latin-1"))
                for name, each in self.headers.items()
            ),
            *more,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last = len(self.parts) - 1
        for i, part in enumerate(self.parts):
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
