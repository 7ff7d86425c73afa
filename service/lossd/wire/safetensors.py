"""safetensors: an 8-byte header length, a JSON header, raw little-endian tensors. No pickle.

`__metadata__` carries the other fields of a request, each as JSON text; text that is not JSON is a
string as it stands. Read and written in place: a tensor is a view of the body, and a body is the
header and views of the tensors.
"""

import json
import math
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from lossd.errors import UnreadableBody, WrongShape
from lossd.wire._checks import (
    DTYPES,
    MAX_DIMS,
    MAX_TENSORS,
    as_tensor,
    bytes_of,
    field_of,
    too_many,
    too_many_tensors,
)
from lossd.wire.message import Body, Message, Parts

media_type = "application/vnd.safetensors"
aliases: tuple[str, ...] = ("application/x-safetensors",)
dtypes: tuple[str, ...] = tuple(DTYPES)
in_place = True

_MOST_HEADER_BYTES = 16 << 20
_ALIGNMENT = 64  # bytes: the header is padded to a multiple, so that tensors can be used in place
_NAMES = {
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.uint8: "U8",
    torch.uint16: "U16",
    torch.uint32: "U32",
    torch.uint64: "U64",
    torch.bool: "BOOL",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_header = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entry = msgspec.json.Decoder(_Entry)
_metadata = msgspec.json.Decoder(dict[str, str] | None)


def decode(body: Body, most_elements: int) -> Message:
    """Read a message. Raises `UnreadableBody` on bytes that are not safetensors, `TooLarge`.

    Tensors are views of a writable body where it holds them aligned.
    """
    header, start = _read_header(memoryview(body))
    said = header.pop("__metadata__", None)
    metadata = {} if said is None else _decoded(_metadata, said, "__metadata__") or {}
    if len(header) > MAX_TENSORS:
        raise too_many_tensors("body")
    entries = {name: _read_entry(name, raw) for name, raw in header.items()}
    if sum(math.prod(each.shape) for each in entries.values()) > most_elements:
        raise too_many(most_elements, "body")
    data = np.frombuffer(body, np.uint8)[start:]
    _check_cover(entries, data.size)
    tensors: dict[str, Tensor] = {}
    for name, each in entries.items():
        begin, end = each.data_offsets
        tensors[name] = as_tensor(data[begin:end], _DTYPES[each.dtype], tuple(each.shape))
    return Message(tensors, {key: field_of(text) for key, text in metadata.items()})


def _read_header(body: memoryview) -> tuple[dict[str, msgspec.Raw], int]:
    """The entries of the header, and where the data begins."""
    if len(body) < 8:
        raise UnreadableBody(
            "no header", at="body", expected="at least 8 bytes", got=f"{len(body)} bytes"
        )
    size = int.from_bytes(body[:8], "little")
    most = min(len(body) - 8, _MOST_HEADER_BYTES)
    if size > most:
        raise UnreadableBody(
            "the header is longer than the body, or than any header should be",
            at="body",
            expected=f"at most {most} bytes",
            got=f"{size} bytes",
        )
    # A copy, since the entries are read from it later.
    return _decoded(_header, bytes(body[8 : 8 + size]), "body"), 8 + size


def _decoded(decoder: Any, text: bytes | msgspec.Raw, at: str) -> Any:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UnreadableBody(f"not a safetensors header: {err}"[:300], at=at) from err


def _read_entry(name: str, raw: msgspec.Raw) -> _Entry:
    at = f"inputs.{name}"[:200]
    entry: _Entry = _decoded(_entry, raw, at)
    if entry.dtype not in _DTYPES:
        raise UnreadableBody(
            "a dtype that lossd does not compute with",
            at=at,
            expected=", ".join(_DTYPES),
            got=entry.dtype[:50],
        )
    if len(entry.shape) > MAX_DIMS:
        raise WrongShape("too many dimensions", at=at, expected=f"at most {MAX_DIMS} dimensions")
    if not all(0 <= size < 1 << 48 for size in entry.shape):
        raise UnreadableBody("not a shape", at=at, got=repr(entry.shape)[:100])
    return entry


def _check_cover(entries: dict[str, _Entry], size: int) -> None:
    """Tensors lie one behind another, with nothing between them and nothing left over."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        wanted = math.prod(entry.shape) * _DTYPES[entry.dtype].itemsize
        if end - begin != wanted:
            raise UnreadableBody(
                "the data is not as long as the shape says",
                at=f"inputs.{name}"[:200],
                expected=f"{wanted} bytes",
                got=f"{end - begin} bytes",
            )
        if begin != position:
            raise UnreadableBody(
                "the tensors overlap, or there is a gap between them",
                at="body",
                expected=f"one that begins at {position}",
                got=f"one that begins at {begin}",
            )
        position = end
    if position != size:
        raise UnreadableBody(
            "the data is not as long as the header says",
            at="body",
            expected=f"{position} bytes",
            got=f"{size} bytes",
        )


def encode(message: Message) -> bytes:
    """Write a message. Every dtype survives, bfloat16 and NaN payloads included."""
    return b"".join(parts(message))


def parts(message: Message) -> Parts:
    """Write a message as its header and views of its tensors, the widest numbers first."""
    header: dict[str, Any] = {
        "__metadata__": {
            key: json.dumps(value, allow_nan=False) for key, value in message.fields.items()
        }
    }
    views: list[memoryview] = []
    position = 0
    for name, x in sorted(message.all_tensors.items(), key=lambda item: -item[1].itemsize):
        view = bytes_of(x)
        end = position + len(view)
        header[name] = {
            "dtype": _NAMES[x.dtype],
            "shape": list(x.shape),
            "data_offsets": [position, end],
        }
        position = end
        if len(view):
            views.append(view)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return (len(text).to_bytes(8, "little") + text, *views)
