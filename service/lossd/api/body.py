"""Reading a request's body within the limits."""

import asyncio

from fastapi import Request

from lossd.errors import DeadlineExceeded, TooLarge, UnreadableBody


async def read_body(request: Request, *, most_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises `TooLarge`, before anything is read where `Content-Length` tells; `DeadlineExceeded` if
    it arrives too slowly; `UnreadableBody` if it is empty.
    """
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdecimal() and int(declared) > most_bytes:
        raise _too_large(most_bytes, f"{declared[:20]} bytes")
    try:
        async with asyncio.timeout(timeout_s):
            body = await _collect(request, most_bytes)
    except TimeoutError as err:
        raise DeadlineExceeded(
            "the body did not arrive in time",
            at="body",
            expected=f"within {timeout_s:g} s (LOSSD_BODY_TIMEOUT_S)",
        ) from err
    if not body:
        raise UnreadableBody("the body is empty", at="body", expected="a request", got="0 bytes")
    return body


async def _collect(request: Request, most_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise _too_large(most_bytes, "more")
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(most_bytes: int, got: str) -> TooLarge:
    return TooLarge(
        "the body is too large",
        at="body",
        expected=f"at most {most_bytes} bytes (LOSSD_MAX_BODY_BYTES)",
        got=got,
    )
