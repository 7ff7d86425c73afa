"""The connections of a client for asyncio, and when a request is repeated."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import httpx

from lossd_client import _calls
from lossd_client._retry import Retry
from lossd_client._shared import Steps
from lossd_client.errors import LossdError

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class AsyncLine:
    """Sends requests to one service. `http` is its pool of connections."""

    def __init__(
        self, http: httpx.AsyncClient, base_url: str, retry: Retry | None, sleep: Sleep
    ) -> None:
        self.http, self.base_url = http, base_url
        self._retry = Retry() if retry is None else retry
        self._sleep = sleep

    async def send(self, request: _calls.Request) -> _calls.Answer:
        """The answer to a request, repeated where that is safe. Raises `LossdError`."""
        return await self.repeated(lambda: self.once(request))

    async def repeated(self, work: Callable[[], Awaitable[T]]) -> T:
        """What some work gives, repeated where that is safe. Raises `LossdError`."""
        tried = 0
        while True:
            tried += 1
            try:
                return await work()
            except LossdError as err:
                pause_s = self._retry.wait_s(err, tried)
                if pause_s is None:
                    raise
            await self._sleep(pause_s)

    async def follow(self, steps: Steps[T]) -> T:
        """What steps of requests and answers come to. Raises what they raise."""
        try:
            request = next(steps)
            while True:
                try:
                    answer = await self.once(request)
                except BaseException as err:
                    request = steps.throw(err)
                else:
                    request = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found

    async def once(self, request: _calls.Request) -> _calls.Answer:
        """The answer to a request that is sent once. Raises `LossdError`."""
        prepared = self.http.build_request(
            request.method,
            request.path,
            # httpx's transport copies each part anyway, and for asyncio takes no plain iterable.
            content=None if request.content is None else b"".join(request.content),
            headers=dict(request.headers),
            params=dict(request.query),
        )
        body = bytearray()
        try:
            async with aclosing(await self.http.send(prepared, stream=True)) as response:
                async for piece in response.aiter_bytes():
                    body += piece
        except httpx.TransportError as err:
            raise _calls.transport_error(err, self.base_url) from err
        _calls.let_go(response)
        return _calls.checked(_calls.Answer(response.status_code, response.headers, body))
