"""Reading a request's body within the limits."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from lossd.engine import Lease
from lossd.errors import DeadlineExceeded, TooLarge, UnreadableBody
from lossd.settings import Settings

T = TypeVar("T")
_ALIGNMENT = 64  # bytes: a cache line, and more than any dtype needs


async def read_body(request: Request, lease: Lease, settings: Settings) -> bytes:
    """The whole body.

    Raises `TooLarge`, before anything is read where `Content-Length` tells; `DeadlineExceeded` if
    it arrives too slowly; `Overloaded` if too much is held already; `UnreadableBody` if empty.
    """
    return b"".join(await _timed(request, settings, _chunks(request, lease, settings)))


async def read_buffer(
    request: Request, lease: Lease, settings: Settings, boundary: int
) -> NDArray[np.uint8]:
    """The whole body in one writable buffer, in which the byte at `boundary` is aligned.

    The buffer is reserved at once but paid for as bytes arrive. Raises what `read_body` does.
    """
    declared = request.headers.get("content-length", "")
    if not declared.isdecimal():
        joined = bytearray(await read_body(request, lease, settings))
        return np.frombuffer(joined, np.uint8)
    _check_declared(request, settings.max_body_bytes)
    size = int(declared)
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -(room.ctypes.data + boundary) % _ALIGNMENT
    buffer = room[start : start + size]
    filled = await _timed(request, settings, _fill(request, lease, buffer.data))
    return buffer[:filled]


async def _timed(request: Request, settings: Settings, reading: Coroutine[Any, Any, T]) -> T:
    started_s = time.perf_counter()
    timeout_s = settings.body_timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            got = await reading
    except TimeoutError as err:
        raise DeadlineExceeded(
            "the body did not arrive in time",
            at="body",
            expected=f"within {timeout_s:g} s (LOSSD_BODY_TIMEOUT_S)",
        ) from err
    if not got:
        raise UnreadableBody("the body is empty", at="body", expected="a request", got="0 bytes")
    request.state.seconds["read"] = time.perf_counter() - started_s
    return got


def _check_declared(request: Request, most_bytes: int) -> None:
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdecimal() and int(declared) > most_bytes:
        raise _too_large(most_bytes, f"{declared[:20]} bytes")


async def _chunks(request: Request, lease: Lease, settings: Settings) -> list[bytes]:
    most_bytes = settings.max_body_bytes
    _check_declared(request, most_bytes)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise _too_large(most_bytes, "more")
        lease.hold(len(chunk))
        chunks.append(chunk)
    return chunks if size else []


async def _fill(request: Request, lease: Lease, buffer: memoryview) -> int:
    filled = 0
    async for chunk in request.stream():
        end = filled + len(chunk)
        if end > len(buffer):
            raise _too_large(len(buffer), "more than Content-Length says")
        lease.hold(len(chunk))
        buffer[filled:end] = chunk
        filled = end
    return filled


def _too_large(most_bytes: int, got: str) -> TooLarge:
    return TooLarge(
        "the body is too large",
        at="body",
        expected=f"at most {most_bytes} bytes (LOSSD_MAX_BODY_BYTES)",
        got=got,
    )
