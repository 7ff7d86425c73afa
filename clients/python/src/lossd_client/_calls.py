"""What the two clients share: requests to send, and answers to read."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx

from lossd_client._arrays import ArrayLike, Packed
from lossd_client._recipe import Exponentials
from lossd_client._retry import read_retry_after_s
from lossd_client._wire import MEDIA_TYPE, Parts, decode, encode, to_json
from lossd_client.errors import ConnectionFailed, LossdError, TimedOut, from_problem
from lossd_client.result import Result, Sent, result_of

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `meanwhile` is what may be done while its answer is on its way."""

    method: str
    path: str
    content: Parts | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    meanwhile: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read whole. `body` is writable, and this answer's alone.

    `is_resent`: the request was sent twice, and the first one may still be under way.
    """

    status: int
    headers: httpx.Headers
    body: memoryview | bytearray
    is_resent: bool = False

    @property
    def request_id(self) -> str:
        """What finds the request in the service's log."""
        return str(self.headers.get("x-request-id", ""))

    def json(self) -> Any:
        """The body as JSON. Raises `LossdError` if it is none."""
        try:
            return json.loads(bytes(self.body))
        except (ValueError, RecursionError) as err:
            raise self.unreadable(err) from err

    def unreadable(self, err: Exception) -> LossdError:
        """The error for a body that is not what a lossd service answers."""
        detail = f"the service answered {self.status}, and not in a form that lossd uses: "
        detail += f"{type(err).__name__}: {err}"[:500]
        return LossdError(detail, status=self.status, request_id=self.request_id)


def base_url_or_default(base_url: str | None) -> str:
    """The URL given, else `LOSSD_URL`, else the service's default address."""
    return base_url or os.environ.get("LOSSD_URL") or DEFAULT_URL


def is_proxied(url: str) -> bool:
    """Whether the environment names a proxy for this address."""
    parsed, proxies = httpx.URL(url), getproxies()
    named = proxies.get(parsed.scheme) or proxies.get("all")
    return bool(named) and not proxy_bypass(parsed.netloc.decode("ascii"))


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None; the others are left to the service's defaults."""
    return {name: x for name, x in values.items() if x is not None}


def fields_of(
    params: Mapping[str, Any] | None,
    outputs: Sequence[str] | None,
    wrt: Sequence[str] | None,
    **options: Any,
) -> dict[str, Any]:
    """The fields of a call other than its tensors."""
    fields = {
        "params": None if params is None else dict(params),
        "outputs": None if outputs is None else list(outputs),
        "wrt": None if wrt is None else list(wrt),
    }
    return given({**fields, **options})


def sent_of(inputs: Mapping[str, ArrayLike], fields: Mapping[str, Any]) -> Sent:
    """What of a call its answer may refer to, by its fields."""
    class_axis = fields.get("class_axis")
    wants_recipe = fields.get("gradient_form") == "recipe" and "logits" in inputs
    is_wanted = "gradients" in fields.get("outputs", ("gradients",))
    return Sent(
        inputs,
        class_axis,
        fields.get("gradient_dtype"),
        Exponentials(inputs, class_axis) if wants_recipe and is_wanted else None,
    )


def compute_request(
    loss: str, packed: Mapping[str, Packed], fields: Mapping[str, Any], sent: Sent
) -> Request:
    """A call."""
    body = encode(packed, fields)
    length = sum(len(part) for part in body)
    headers = {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE, "content-length": str(length)}
    meanwhile = None if sent.exponentials is None else sent.exponentials.make_ahead
    return Request("POST", f"/v1/losses/{loss}", body, headers, meanwhile=meanwhile)


def json_request(path: str, body: Mapping[str, Any]) -> Request:
    """A POST of JSON."""
    text = to_json(body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(text))}
    return Request("POST", path, [text], headers)


def need_pyarrow() -> None:
    """Raises `ImportError` that says how to get what streams need, if it is not there."""
    try:
        import pyarrow  # noqa: F401 # to know whether it can be
    except ImportError as err:
        raise ImportError("streams need pyarrow: pip install 'lossd-client[arrow]'") from err


def list_request(family: str | None, search: str | None, kind: str | None) -> Request:
    """The catalog, narrowed."""
    query = {"family": family, "search": search, "kind": kind}
    given = {name: text for name, text in query.items() if text is not None}
    return Request("GET", "/v1/losses", query=given)


def whole_body(response: httpx.Response) -> memoryview | None:
    """The body where the transport has read it already, and as it is."""
    body = response.extensions.get("body")
    is_plain = isinstance(body, memoryview) and "content-encoding" not in response.headers
    return body if is_plain else None


def let_go(response: httpx.Response) -> None:
    """Break the circle of a response and its stream, which would keep what was sent and received.

    Large bodies must not wait for the garbage collector, which counts objects and not bytes.
    """
    response.stream = httpx.ByteStream(b"")


def read_result(answer: Answer, sent: Sent) -> Result:
    """The result in an answer to what was sent. Raises `LossdError` if it holds none."""
    try:
        tensors, fields = decode(answer.body)
        return result_of(tensors, fields, answer.request_id, seconds_of(answer.headers), sent)
    except (KeyError, TypeError, ValueError) as err:
        raise answer.unreadable(err) from err


def seconds_of(headers: httpx.Headers) -> dict[str, float]:
    """How long each phase took on the service."""
    phases = headers.get("server-timing", "").split(",")
    pairs = (phase.strip().split(";dur=") for phase in phases)
    return {pair[0]: float(pair[1]) / 1e3 for pair in pairs if len(pair) == 2}


def checked(answer: Answer) -> Answer:
    """The answer, if it is one of success. Raises the `LossdError` that it tells otherwise."""
    if 200 <= answer.status < 300:
        return answer
    try:
        problem = answer.json()
    except LossdError:
        problem = None
    raise from_problem(
        problem,
        status=answer.status,
        request_id=answer.request_id,
        retry_after_s=read_retry_after_s(answer.headers.get("retry-after")),
    )


def transport_error(err: httpx.TransportError, url: str) -> LossdError:
    """The error for an answer that never came."""
    if isinstance(err, httpx.TimeoutException):
        return TimedOut(f"{url} did not answer in time ({type(err).__name__})")
    return ConnectionFailed(f"{url} cannot be reached: {err or type(err).__name__}")
