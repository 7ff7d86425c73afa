"""Codecs: bytes to `Message` and back. A codec is a module with the names of `Codec`."""

from types import MappingProxyType
from typing import Any, Protocol

from lossd.errors import NotAcceptable, UnsupportedMediaType
from lossd.wire import json, npz, safetensors
from lossd.wire._checks import DTYPES as DTYPES
from lossd.wire._checks import as_tensor as as_tensor
from lossd.wire._checks import bytes_of as bytes_of
from lossd.wire.compression import ENCODINGS as ENCODINGS
from lossd.wire.compression import expand as expand
from lossd.wire.message import Body as Body
from lossd.wire.message import Message as Message
from lossd.wire.message import Parts as Parts

try:
    from lossd.wire import arrow
except ModuleNotFoundError:  # the extra `arrow` was not asked for
    arrow = None  # type: ignore[assignment] # tested for before use

ARROW = "application/vnd.apache.arrow.stream"  # its media type, whether it can be read here or not


class Codec(Protocol):
    """The shape of a codec module."""

    media_type: str
    aliases: tuple[str, ...]
    dtypes: tuple[str, ...]  # what the format can carry
    in_place: bool  # whether it reads any buffer; others read bytes

    def decode(self, body: Any, most_elements: int) -> Message: ...  # noqa: D102
    def encode(self, message: Message) -> bytes: ...  # noqa: D102
    def parts(self, message: Message) -> Parts: ...  # noqa: D102


_MODULES: tuple[Codec, ...] = (json, safetensors, npz)
if arrow is not None:
    _MODULES = (*_MODULES, arrow)
CODECS = MappingProxyType({codec.media_type: codec for codec in _MODULES})
_BY_NAME = {name: codec for codec in _MODULES for name in (codec.media_type, *codec.aliases)}


def reader_for(content_type: str) -> Codec:
    """Find a codec by `Content-Type`, parameters ignored. Raises `UnsupportedMediaType`."""
    if content_type in _BY_NAME:
        return _BY_NAME[content_type]
    key = content_type.partition(";")[0].strip().lower()
    if key in _BY_NAME:
        return _BY_NAME[key]
    raise UnsupportedMediaType(
        "no format of that content type is read here",
        at="headers.content-type",
        expected="install lossd[arrow]" if key == ARROW else f"one of {', '.join(CODECS)}",
        got=key[:100] or "no Content-Type",
    )


def writer_for(accept: str, default: Codec) -> Codec:
    """Find the codec that `Accept` likes best; the default where it leaves the choice.

    Raises `NotAcceptable`.
    """
    if accept in ("", "*/*"):
        return default
    if accept in _BY_NAME:
        return _BY_NAME[accept]
    wanted = sorted(map(_range, accept.split(",")), key=lambda pair: -pair[1])
    for name, quality in wanted:
        if quality <= 0:
            continue
        if name in ("", "*/*") or (name == "application/*" and default is not None):
            return default
        if name in _BY_NAME:
            return _BY_NAME[name]
    raise NotAcceptable(
        "no format that is accepted is written here",
        at="headers.accept",
        expected=f"one of {', '.join(CODECS)}",
        got=accept[:100],
    )


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return name, float(quality)
    except ValueError:
        return name, 0.0
