"""What the two clients share: requests to send, and answers to read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from lossd_client._retry import read_retry_after_s
from lossd_client._wire import MEDIA_TYPE, decode, encode
from lossd_client.errors import ConnectionFailed, LossdError, TimedOut, from_problem
from lossd_client.result import Result, Sent, result_of

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


def base_url_or_default(base_url: str | None) -> str:
    """The URL given, else `LOSSD_URL`, else the service's default address."""
    return base_url or os.environ.get("LOSSD_URL") or DEFAULT_URL


def compute_request(
    loss: str, inputs: Mapping[str, Any], tensors: Mapping[str, Any], fields: Mapping[str, Any]
) -> Request:
    """A call; tensors and fields that are None are left to the service's defaults."""
    given = {name: x for name, x in {**inputs, **tensors}.items() if x is not None}
    body = encode(given, {name: x for name, x in fields.items() if x is not None})
    headers = {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE}
    return Request("POST", f"/v1/losses/{loss}", body, headers)


def list_request(family: str | None, search: str | None, kind: str | None) -> Request:
    """The catalog, narrowed."""
    query = {"family": family, "search": search, "kind": kind}
    given = {name: text for name, text in query.items() if text is not None}
    return Request("GET", "/v1/losses", query=given)


def read_result(response: httpx.Response, sent: Sent) -> Result:
    """The result in an answer to what was sent."""
    tensors, fields = decode(response.content)
    request_id = response.headers.get("x-request-id", "")
    return result_of(tensors, fields, request_id, _seconds(response), sent)


def _seconds(response: httpx.Response) -> dict[str, float]:
    phases = response.headers.get("server-timing", "").split(",")
    pairs = (phase.strip().split(";dur=") for phase in phases)
    return {pair[0]: float(pair[1]) / 1e3 for pair in pairs if len(pair) == 2}


def error_of(response: httpx.Response) -> LossdError:
    """The error in an answer that is none of success."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return from_problem(
        problem,
        status=response.status_code,
        request_id=response.headers.get("x-request-id", ""),
        retry_after_s=read_retry_after_s(response.headers.get("retry-after")),
    )


def transport_error(err: httpx.TransportError, url: str) -> LossdError:
    """The error for an answer that never came."""
    if isinstance(err, httpx.TimeoutException):
        return TimedOut(f"{url} did not answer in time ({type(err).__name__})")
    return ConnectionFailed(f"{url} cannot be reached: {err or type(err).__name__}")
