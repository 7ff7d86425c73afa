"""Whole requests, answered without waiting where that can be: from bytes to bytes.

What must wait for anything, might be refused, or is no hot route's is not answered here: the app
answers it, with the same bytes, or says what is wrong. Callers send the same head again and again,
so what a head means is worked out apart from what its body says.
"""

import logging
from dataclasses import dataclass

from starlette.types import Message

from lossd.api.exchange import Headers, Hots, Incoming, Quick, QuickHandle, find_hot, new_id, timing
from lossd.errors import LossdError

_ANSWER = (
    b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\nserver-timing: %b\r\n\r\n%b"
)
_log = logging.getLogger("lossd")


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request means: what answers its body, under which id if one was sent."""

    path: str
    handle: QuickHandle
    request_id: bytes | None

    def answer(self, body: bytes) -> bytes | None:
        """An answer of 200 from its first header on; None if the app is to answer."""
        seconds: dict[str, float] = {}
        try:
            answer = self.handle(body, seconds)
        except LossdError:
            return None
        except Exception:
            _log.exception("POST %s: not answered at once", self.path)
            return None
        if answer is None:
            return None
        text = answer.parts[0]
        media_type, request_id = answer.media_type.encode("latin-1"), self.request_id or new_id()
        return _ANSWER % (media_type, len(text), request_id, timing(seconds), text)


class AtOnce:
    """Used by one thread."""

    def __init__(self, hots: Hots) -> None:
        self._quick = {at: hot for at, hot in hots.items() if isinstance(hot, Quick)}

    def read(self, path: str, headers: Headers) -> Head | None:
        """What the head of a POST means; None if the app is to answer.

        `path` and the names of `headers` are as in an ASGI scope.
        """
        hot, rest = find_hot(self._quick, path)
        if hot is None:
            return None
        incoming = Incoming(headers, _nothing)
        try:
            handle = hot.at_once(rest, incoming)
        except LossdError:
            return None
        return None if handle is None else Head(path, handle, incoming.given_id)


async def _nothing() -> Message:
    raise RuntimeError("the body is there already")
