"""What every answer carries, whatever route it came from: an id, its timing, and no traceback."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lossd.api.exchange import Handle, Hots, Incoming, find_hot
from lossd.api.problem import hung_up, internal_error, problem
from lossd.errors import LossdError


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
        incoming = Incoming(scope["headers"], receive, scope.get("extensions") or {})
        if scope["method"] == "POST":
            hot, rest = find_hot(self._hots, scope["path"])
            handle = None if hot is None else hot.match(rest)
            if handle is not None:
                await _answer(handle, incoming, scope, send)
                return
        scope.setdefault("state", {}).update(
            seconds=incoming.seconds, request_id=incoming.request_id.decode()
        )
        signed = _Signed(send, incoming)
        try:
            await self._app(scope, receive, signed.send)
        except Exception:
            if signed.finished:
                return  # the app logs and answers what it did not expect, then raises it again
            if signed.started:
                raise
            failed = internal_error(incoming.request_id.decode(), scope["path"])
            await failed(scope, receive, signed.send)


async def _answer(handle: Handle, incoming: Incoming, scope: Scope, send: Send) -> None:
    try:
        answer = await handle(incoming)
    except LossdError as err:
        failed = problem(err, scope["path"])
    except ClientDisconnect:
        failed = hung_up(scope["path"])
    except Exception:
        failed = internal_error(incoming.request_id.decode(), scope["path"])
    else:
        await answer.send(send, incoming.signature())
        return
    await failed(scope, incoming.receive, _Signed(send, incoming).send)


class _Signed:
    """Sends, with the id and the timing among the headers."""

    def __init__(self, send: Send, incoming: Incoming) -> None:
        self._send, self._incoming = send, incoming
        self.started = self.finished = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message.get("headers", []), *self._incoming.signature()]
            message = {**message, "headers": headers}
        await self._send(message)
        is_body = message["type"] == "http.response.body"
        self.finished = is_body and not message.get("more_body", False)
