"""The connections of a client, and when a request is repeated."""

from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

import httpx

from lossd_client import _calls
from lossd_client._retry import Retry
from lossd_client._shared import Steps
from lossd_client.errors import LossdError

T = TypeVar("T")
Sleep = Callable[[float], None]


class Line:
    """Sends requests to one service. `http` is its pool of connections."""

    def __init__(
        self, http: httpx.Client, base_url: str, retry: Retry | None, sleep: Sleep
    ) -> None:
        self.http, self.base_url = http, base_url
        self._retry = Retry() if retry is None else retry
        self._sleep = sleep

    def send(self, request: _calls.Request) -> _calls.Answer:
        """The answer to a request, repeated where that is safe. Raises `LossdError`."""
        return self.repeated(lambda: self.once(request))

    def repeated(self, work: Callable[[], T]) -> T:
        """What some work gives, repeated where that is safe. Raises `LossdError`."""
        tried = 0
        while True:
            tried += 1
            try:
                return work()
            except LossdError as err:
                pause_s = self._retry.wait_s(err, tried)
                if pause_s is None:
                    raise
            self._sleep(pause_s)

    def follow(self, steps: Steps[T]) -> T:
        """What steps of requests and answers come to. Raises what they raise."""
        try:
            request = next(steps)
            while True:
                try:
                    answer = self.once(request)
                except BaseException as err:
                    request = steps.throw(err)
                else:
                    request = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found

    def once(self, request: _calls.Request) -> _calls.Answer:
        """The answer to a request that is sent once. Raises `LossdError`."""
        prepared = self.http.build_request(
            request.method,
            request.path,
            content=request.content,
            headers=dict(request.headers),
            params=dict(request.query),
            extensions=None if request.meanwhile is None else {"meanwhile": request.meanwhile},
        )
        try:
            with closing(self.http.send(prepared, stream=True)) as response:
                body = _calls.whole_body(response)
                read = bytearray().join(response.iter_bytes()) if body is None else body
        except httpx.TransportError as err:
            raise _calls.transport_error(err, self.base_url) from err
        _calls.let_go(response)
        is_resent = bool(response.extensions.get("resent"))
        return _calls.checked(
            _calls.Answer(response.status_code, response.headers, read, is_resent)
        )
