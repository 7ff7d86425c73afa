"""Compressed bodies, expanded within a bound: `Content-Encoding` gzip, deflate or zstd."""

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from lossd.errors import TooLarge, UnreadableBody, UnsupportedMediaType

try:
    import zstandard
except ModuleNotFoundError:  # the extra `zstd` was not asked for
    zstandard = None  # type: ignore[assignment] # tested for before use

_STEP_BYTES = 1024


def expand(body: bytes, content_encoding: str, most_bytes: int) -> bytes:
    """The body as it was before `Content-Encoding`.

    Raises `UnsupportedMediaType` for an encoding that is not read here, `UnreadableBody` for bytes
    that are not in it, `TooLarge` over `most_bytes`.
    """
    name = content_encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ENCODINGS:
        raise UnsupportedMediaType(
            "no such Content-Encoding is read here",
            at="headers.content-encoding",
            expected=f"one of {', '.join(ENCODINGS)}",
            got=name[:100],
        )
    return ENCODINGS[name](body, most_bytes)


def _too_large(most_bytes: int) -> TooLarge:
    return TooLarge(
        "the expanded body is too large",
        at="body",
        expected=f"at most {most_bytes} bytes (LOSSD_MAX_BODY_BYTES)",
        got="more",
    )


def _inflate(body: bytes, most_bytes: int) -> bytes:
    """gzip (of any number of members) or zlib, whichever it is."""
    pieces: list[bytes] = []
    size = 0
    while body:
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            piece = stream.decompress(body, most_bytes - size + 1)
        except zlib.error as err:
            raise UnreadableBody(f"not gzip or deflate: {err}", at="body") from err
        size += len(piece)
        if size > most_bytes:
            raise _too_large(most_bytes)
        if not stream.eof:
            raise UnreadableBody("the compressed body is truncated", at="body")
        pieces.append(piece)
        body = stream.unused_data
    return b"".join(pieces)


def _unzstd(body: bytes, most_bytes: int) -> bytes:
    """zstd, of any number of frames; fed in steps of which none can expand beyond about 32 MB."""
    pieces: list[bytes] = []
    size = start = 0
    options = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    stream = options.decompressobj()
    try:
        while start < len(body):
            if stream.eof:
                stream = options.decompressobj()
            piece = stream.decompress(body[start : start + _STEP_BYTES])
            start = min(len(body), start + _STEP_BYTES) - len(stream.unused_data)
            size += len(piece)
            if size > most_bytes:
                raise _too_large(most_bytes)
            pieces.append(piece)
    except zstandard.ZstdError as err:
        raise UnreadableBody(f"not zstd: {err}", at="body") from err
    if not stream.eof:
        raise UnreadableBody("the compressed body is truncated", at="body")
    return b"".join(pieces)


_ALL: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _inflate, "deflate": _inflate}
if zstandard is not None:
    _ALL["zstd"] = _unzstd
ENCODINGS: Mapping[str, Callable[[bytes, int], bytes]] = MappingProxyType(_ALL)
