"""Every error on every route becomes one shape: an RFC 9457 problem."""

import http
import logging
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lossd.errors import (
    BadOption,
    BadRequest,
    InternalError,
    LossdError,
    MethodNotAllowed,
    UnknownRoute,
    UnreadableBody,
)

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("lossd")


def problem(err: LossdError, path: str, headers: dict[str, str] | None = None) -> Response:
    """Lay an error out for the wire; below /v2 with the member that clients there read."""
    headers = dict(headers or {})
    if err.retry_after_s is not None:
        headers["Retry-After"] = str(err.retry_after_s)
    body, media_type = document(err), MEDIA_TYPE
    if path == "/v2" or path.startswith("/v2/"):
        at = f" (at {body['at']})" if err.at else ""
        body, media_type = body | {"error": body["detail"] + at}, "application/json"
    return Response(orjson.dumps(body), err.status, headers, media_type=media_type)


def document(err: LossdError) -> dict[str, Any]:
    """An error as RFC 9457 lays it out."""
    body: dict[str, Any] = {
        "type": f"urn:lossd:error:{err.code}",
        "title": http.HTTPStatus(err.status).phrase,
        "status": err.status,
        "detail": err.message,
        "code": err.code,
        "at": err.at,
    }
    extras = {"expected": err.expected, "got": err.got, "indices": err.indices}
    body |= {key: value for key, value in extras.items() if value is not None}
    # A caller may have put half a surrogate pair into a name that the message repeats.
    printable: dict[str, Any] = _printable(body)
    return printable


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    return value


async def on_lossd_error(request: Request, err: Exception) -> Response:
    assert isinstance(err, LossdError)
    return problem(err, request.url.path)


async def on_http_error(request: Request, err: Exception) -> Response:
    """What the router itself refuses: unknown paths and methods."""
    assert isinstance(err, HTTPException)
    path = request.url.path[:200]
    if err.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (err.headers or {}).get("Allow", "")
        got = MethodNotAllowed(
            f"{path} does not answer {request.method[:20]}",
            at="method",
            expected=allowed,
            got=request.method[:20],
        )
        return problem(got, path, {"Allow": allowed})
    if err.status_code == http.HTTPStatus.NOT_FOUND:
        expected = "a path that /openapi.json lists"
        unknown = UnknownRoute("nothing is served there", at="path", expected=expected, got=path)
        return problem(unknown, path)
    return problem(BadRequest(str(err.detail)), path)


async def on_bad_query(request: Request, err: Exception) -> Response:
    """What FastAPI refuses of a query or path parameter."""
    assert isinstance(err, RequestValidationError)
    first = err.errors()[0]
    at = ".".join(str(part) for part in first["loc"])
    expected = str(first["msg"])
    got = repr(first.get("input"))[:100]
    return problem(BadOption(expected, at=at, expected=expected, got=got), request.url.path)


async def on_disconnect(request: Request, err: Exception) -> Response:
    """Nobody reads this answer; it only closes the books on the request."""
    return hung_up(request.url.path)


def hung_up(path: str) -> Response:
    """What a caller is told who is not there any more."""
    left = UnreadableBody("the caller hung up before the body was complete", at="body")
    return problem(left, path)


async def on_bug(request: Request, err: Exception) -> Response:
    """What no route expected; the framework raises it again once this is sent, for the edge."""
    return internal_error(request.state.request_id, request.url.path)


def internal_error(request_id: str, path: str) -> Response:
    """The answer to a bug: nothing of it leaves the process but the id that finds it in the log."""
    _log.exception("request %s failed", request_id)
    return problem(InternalError(f"a bug in lossd; its log names request {request_id}"), path)


def install(app: FastAPI) -> None:
    """Make every error of an app answer in the one shape."""
    app.add_exception_handler(LossdError, on_lossd_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_bad_query)
    app.add_exception_handler(ClientDisconnect, on_disconnect)
    app.add_exception_handler(Exception, on_bug)
