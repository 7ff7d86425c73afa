"""Reading a request's body within the limits."""

import asyncio
import time

from fastapi import Request

from lossd.engine import Lease
from lossd.errors import DeadlineExceeded, TooLarge, UnreadableBody
from lossd.settings import Settings


async def read_body(request: Request, lease: Lease, settings: Settings) -> bytes:
    """The whole body.

    Raises `TooLarge`, before anything is read where `Content-Length` tells; `DeadlineExceeded` if
    it arrives too slowly; `Overloaded` if too much is held already; `UnreadableBody` if empty.
    """
    started_s = time.perf_counter()
    most_bytes, timeout_s = settings.max_body_bytes, settings.body_timeout_s
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdecimal() and int(declared) > most_bytes:
        raise _too_large(most_bytes, f"{declared[:20]} bytes")
    try:
        async with asyncio.timeout(timeout_s):
            body = await _collect(request, lease, most_bytes)
    except TimeoutError as err:
        raise DeadlineExceeded(
            "the body did not arrive in time",
            at="body",
            expected=f"within {timeout_s:g} s (LOSSD_BODY_TIMEOUT_S)",
        ) from err
    if not body:
        raise UnreadableBody("the body is empty", at="body", expected="a request", got="0 bytes")
    request.state.seconds["read"] = time.perf_counter() - started_s
    return body


async def _collect(request: Request, lease: Lease, most_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise _too_large(most_bytes, "more")
        lease.hold(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(most_bytes: int, got: str) -> TooLarge:
    return TooLarge(
        "the body is too large",
        at="body",
        expected=f"at most {most_bytes} bytes (LOSSD_MAX_BODY_BYTES)",
        got=got,
    )
