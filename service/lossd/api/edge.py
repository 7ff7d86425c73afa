"""What every answer carries, whatever route it came from: an id, its timing, and no traceback."""

import re
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lossd.api.problem import internal_error

_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Edge:
    """Wraps an app. Sets `X-Request-Id` (the caller's own if it sent one) and `Server-Timing`.

    Routes note their phases, in seconds, in `request.state.seconds`, and find the id in
    `request.state.request_id`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        seconds: dict[str, float] = {}
        scope.setdefault("state", {}).update(seconds=seconds, request_id=request_id.decode())
        started = False

        async def send_named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = [*message.get("headers", []), (b"x-request-id", request_id)]
                timing = ", ".join(f"{key};dur={1e3 * s:.3f}" for key, s in seconds.items())
                if timing:
                    headers.append((b"server-timing", timing.encode()))
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception:
            if started:
                raise
            await internal_error(request_id.decode(), scope["path"])(scope, receive, send_named)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            return bytes(value)
    return uuid.uuid4().hex.encode()
