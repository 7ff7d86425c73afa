"""What every answer carries, whatever route it came from: an id, its timing, and no traceback."""

import random
import re

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lossd.api.exchange import Handle, Hots, Incoming, find_hot
from lossd.api.problem import hung_up, internal_error, problem
from lossd.errors import LossdError

_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Edge:
    """Wraps an app. Sets `X-Request-Id` (the caller's own if it sent one) and `Server-Timing`.

    The hot routes are answered here, before the app matches routes one after another. All routes
    note their phases, in seconds, in `request.state.seconds`, and find the id in
    `request.state.request_id`.
    """

    def __init__(self, app: ASGIApp, hots: Hots) -> None:
        self._app, self._hots = app, hots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        seconds: dict[str, float] = {}
        scope.setdefault("state", {}).update(seconds=seconds, request_id=request_id.decode())
        named = _Named(send, request_id, seconds)
        try:
            handle = find_hot(self._hots, scope)
            if handle is None:
                await self._app(scope, receive, named.send)
            else:
                await _answer(handle, scope, receive, named)
        except Exception:
            if named.finished:
                return  # the app logs and answers what it did not expect, then raises it again
            if named.started:
                raise
            failed = internal_error(request_id.decode(), scope["path"])
            await failed(scope, receive, named.send)


async def _answer(handle: Handle, scope: Scope, receive: Receive, named: "_Named") -> None:
    try:
        answer = await handle(Incoming(scope, receive))
    except LossdError as err:
        await problem(err, scope["path"])(scope, receive, named.send)
    except ClientDisconnect:
        await hung_up(scope["path"])(scope, receive, named.send)
    else:
        named.started = True
        await answer.send(named.plain_send, named.headers())


class _Named:
    """Sends, with the id and the timing among the headers."""

    def __init__(self, send: Send, request_id: bytes, seconds: dict[str, float]) -> None:
        self.plain_send = send
        self._id, self._seconds = request_id, seconds
        self.started = self.finished = False

    def headers(self) -> list[tuple[bytes, bytes]]:
        named = [(b"x-request-id", self._id)]
        if self._seconds:
            timing = ", ".join([f"{key};dur={1e3 * s:.3f}" for key, s in self._seconds.items()])
            named.append((b"server-timing", timing.encode()))
        return named

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message = {**message, "headers": [*message.get("headers", []), *self.headers()]}
        await self.plain_send(message)
        is_body = message["type"] == "http.response.body"
        self.finished = is_body and not message.get("more_body", False)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            return bytes(value)
    return b"%032x" % random.getrandbits(128)
