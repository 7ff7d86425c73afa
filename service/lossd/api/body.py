"""Reading a request's body within the limits."""

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from starlette.requests import ClientDisconnect
from starlette.types import Message

from lossd.api._started import Started, start
from lossd.api.exchange import Incoming
from lossd.engine import Buffers, Lease
from lossd.errors import DeadlineExceeded, TooLarge, UnreadableBody
from lossd.settings import Settings
from lossd.wire import Body, Codec, expand, reader_for, writer_for

_FILL_BYTES = 256 * 1024  # for less, taking a connection over and giving it back costs more


@dataclass(frozen=True, slots=True)
class Sent:
    """A body, how it is read, and how its answer is to be written."""

    body: Body
    encoding: str
    reader: Codec
    writer: Codec

    def is_small(self, most_bytes: int) -> bool:
        """Whether reading it takes less than another thread does."""
        return len(self.body) <= most_bytes and not self.encoding

    def plain(self, settings: Settings) -> Body:
        """The body without its content encoding. Raises `TooLarge`, `UnreadableBody`."""
        if not self.encoding:
            return self.body
        return expand(bytes(self.body), self.encoding, settings.max_body_bytes)


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
        declared = incoming.header(b"content-length")
        size = int(declared) if declared.isdecimal() else None
        if size is not None and size > self._most_bytes:
            raise self._too_large(f"{declared[:20]} bytes")
        first = start(incoming.receive())
        if first.is_done and not first.value.get("more_body", False):  # most small ones: no timer
            body: Body = _chunk(first.value, lease)
            if len(body) > self._most_bytes:
                raise self._too_large("more")
        else:
            room = self._room(size, boundary) if in_place and size is not None else None
            body = await self._read_in_time(incoming, lease, first, room)
        if not len(body):
            raise UnreadableBody(
                "the body is empty", at="body", expected="a request", got="0 bytes"
            )
        incoming.seconds["read"] = time.perf_counter() - started_s
        return body

    async def receive(self, incoming: Incoming, lease: Lease) -> Sent:
        """The body and what its headers say of it. Raises what `read` raises.

        Raises `UnsupportedMediaType` and `NotAcceptable`, before the body is read.
        """
        reader = reader_for(incoming.header(b"content-type"))
        writer = writer_for(incoming.header(b"accept"), default=reader)
        encoding = incoming.header(b"content-encoding")
        in_place = reader.in_place and not encoding
        body = await self.read(incoming, lease, in_place=in_place)
        return Sent(body, encoding, reader, writer)

    async def _read_in_time(
        self, incoming: Incoming, lease: Lease, first: Started, room: memoryview | None
    ) -> Body:
        try:
            async with asyncio.timeout(self._timeout_s):
                message = first.value if first.is_done else await first.rest()
                if room is None:
                    return await self._join(incoming, lease, message)
                return await self._fill(incoming, lease, message, room)
        except TimeoutError as err:
            raise DeadlineExceeded(
                "the body did not arrive in time",
                at="body",
                expected=f"within {self._timeout_s:g} s (LOSSD_BODY_TIMEOUT_S)",
            ) from err

    def _room(self, size: int, boundary: int) -> memoryview:
        room: memoryview = self._buffers.take((size,), np.uint8, aligned_at=boundary).data
        return room

    async def _join(self, incoming: Incoming, lease: Lease, message: Message) -> bytes:
        chunks, total = [_chunk(message, lease)], 0
        while True:
            total += len(chunks[-1])
            if total > self._most_bytes:
                raise self._too_large("more")
            if not message.get("more_body", False):
                return b"".join(chunks)
            message = await incoming.receive()
            chunks.append(_chunk(message, lease))

    async def _fill(
        self, incoming: Incoming, lease: Lease, message: Message, room: memoryview
    ) -> Body:
        filled, chunked = 0, incoming.header(b"transfer-encoding")
        while True:
            chunk = _chunk(message, lease)
            end = filled + len(chunk)
            if end > len(room):
                raise self._too_large("more than Content-Length says")
            if end and not filled and not message.get("more_body", False):
                return chunk
            room[filled:end] = chunk
            filled = end
            if not message.get("more_body", False):
                return room[:filled]
            left = room[filled:]
            if len(left) >= _FILL_BYTES and incoming.fill is not None and not chunked:
                await incoming.fill(left, lease.hold)
                return room
            message = await incoming.receive()

    def _too_large(self, got: str) -> TooLarge:
        return TooLarge(
            "the body is too large",
            at="body",
            expected=f"at most {self._most_bytes} bytes (LOSSD_MAX_BODY_BYTES)",
            got=got,
        )


def _chunk(message: Message, lease: Lease) -> bytes:
    """The bytes of the body in a message. Raises `ClientDisconnect`."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    chunk: bytes = message.get("body", b"")
    lease.hold(len(chunk))
    return chunk
