"""Reading a request's body within the limits."""

import asyncio
import time

import numpy as np
from starlette.requests import ClientDisconnect

from lossd.api.exchange import Incoming
from lossd.engine import Buffers, Lease
from lossd.errors import DeadlineExceeded, TooLarge, UnreadableBody
from lossd.settings import Settings
from lossd.wire import Body


class BodyReader:
    """Reads whole bodies into memory that is used again where they are large."""

    def __init__(self, buffers: Buffers, settings: Settings) -> None:
        self._buffers = buffers
        self._most_bytes = settings.max_body_bytes
        self._timeout_s = settings.body_timeout_s

    async def read(
        self, incoming: Incoming, lease: Lease, *, in_place: bool, boundary: int = 0
    ) -> Body:
        """The whole body: bytes, or if `in_place` and it comes in pieces, a writable buffer.

        In the buffer, the byte at `boundary` is aligned. It is reserved at once but paid for as
        bytes arrive. Raises `TooLarge`, before anything is read where `Content-Length` tells;
        `DeadlineExceeded` if it arrives too slowly; `Overloaded` if too much is held already;
        `UnreadableBody` if empty; `ClientDisconnect`.
        """
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._read(incoming, lease, in_place, boundary)
        except TimeoutError as err:
            raise DeadlineExceeded(
                "the body did not arrive in time",
                at="body",
                expected=f"within {self._timeout_s:g} s (LOSSD_BODY_TIMEOUT_S)",
            ) from err
        if not len(body):
            raise UnreadableBody(
                "the body is empty", at="body", expected="a request", got="0 bytes"
            )
        incoming.seconds["read"] = time.perf_counter() - started_s
        return body

    async def _read(self, incoming: Incoming, lease: Lease, in_place: bool, boundary: int) -> Body:
        declared = incoming.header(b"content-length")
        size = int(declared) if declared.isdecimal() else None
        if size is not None and size > self._most_bytes:
            raise self._too_large(f"{declared[:20]} bytes")
        first, more = await _receive(incoming, lease)
        if not more:
            if len(first) > self._most_bytes:
                raise self._too_large("more")
            return first
        if in_place and size is not None:
            return await self._fill(incoming, lease, first, size, boundary)
        chunks, total = [first], len(first)
        while more:
            chunk, more = await _receive(incoming, lease)
            total += len(chunk)
            if total > self._most_bytes:
                raise self._too_large("more")
            chunks.append(chunk)
        return b"".join(chunks)

    async def _fill(
        self, incoming: Incoming, lease: Lease, first: bytes, size: int, boundary: int
    ) -> memoryview:
        room: memoryview = self._buffers.take((size,), np.uint8, aligned_at=boundary).data
        filled, chunk, more = 0, first, True
        while True:
            end = filled + len(chunk)
            if end > size:
                raise self._too_large("more than Content-Length says")
            room[filled:end] = chunk
            filled = end
            if not more:
                return room[:filled]
            chunk, more = await _receive(incoming, lease)

    def _too_large(self, got: str) -> TooLarge:
        return TooLarge(
            "the body is too large",
            at="body",
            expected=f"at most {self._most_bytes} bytes (LOSSD_MAX_BODY_BYTES)",
            got=got,
        )


async def _receive(incoming: Incoming, lease: Lease) -> tuple[bytes, bool]:
    """The next bytes of the body, and whether there are more."""
    message = await incoming.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    chunk: bytes = message.get("body", b"")
    lease.hold(len(chunk))
    return chunk, message.get("more_body", False)
