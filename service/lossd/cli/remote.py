"""Calls of a service, for the command line."""

import time

import httpx

from lossd import errors
from lossd.errors import LossdError, UnreadableBody

_MOST_TRIES = 5
_MOST_WAIT_S = 10.0
_BY_CODE = {
    each.code: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, LossdError) and hasattr(each, "code")
}


def client(url: str) -> httpx.Client:
    """Connections to a service. Raises `UnreadableBody` for what is no address."""
    try:
        return httpx.Client(base_url=url.rstrip("/"), timeout=300.0)
    except httpx.InvalidURL as err:
        raise UnreadableBody(f"not an address: {err}", at=url) from err


def post(http: httpx.Client, path: str, body: bytes, media_type: str) -> bytes:
    """The answer's body. A service that is full is asked again a few times.

    Raises `UnreadableBody` if there is no answer, else the `LossdError` that the service tells.
    """
    url, headers = str(http.base_url), {"content-type": media_type}
    for tried in range(1, _MOST_TRIES + 1):
        try:
            response = http.post(path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            raise UnreadableBody(f"the service cannot be reached: {err}", at=url) from err
        if response.is_success:
            return response.content
        error = _as_error(response)
        if error.code not in ("overloaded", "not_ready") or tried == _MOST_TRIES:
            break
        time.sleep(_wait_s(response))
    raise error


def _wait_s(response: httpx.Response) -> float:
    asked = response.headers.get("retry-after", "")
    return min(float(asked) if asked.isdecimal() else 1.0, _MOST_WAIT_S)


def _as_error(response: httpx.Response) -> LossdError:
    try:
        problem = response.json()
        error = _BY_CODE[problem["code"]]
    except (ValueError, KeyError, TypeError):
        return UnreadableBody(f"the service answered {response.status_code}", at=str(response.url))
    return error(
        problem["detail"],
        at=problem.get("at", ""),
        expected=problem.get("expected"),
        got=problem.get("got"),
        indices=problem.get("indices"),
    )
