"""safetensors: an 8-byte header length, a JSON header, raw little-endian tensors. No pickle.

`__metadata__` carries the other fields of a request, each as JSON text; text that is not JSON is a
string as it stands.
"""

import json
import math
from typing import Any

import msgspec
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from lossd.errors import UnreadableBody, WrongShape
from lossd.wire._checks import DTYPES, MAX_DIMS, MAX_TENSORS, field_of, too_many, too_many_tensors
from lossd.wire.message import Message

media_type = "application/vnd.safetensors"
aliases: tuple[str, ...] = ("application/x-safetensors",)
dtypes: tuple[str, ...] = tuple(DTYPES)

_MOST_HEADER_BYTES = 16 << 20


def decode(body: bytes, most_elements: int) -> Message:
    """Read a message. Raises `UnreadableBody` on bytes that are not safetensors, `TooLarge`."""
    header = _header(body)
    metadata = header.pop("__metadata__", None) or {}
    if len(header) > MAX_TENSORS:
        raise too_many_tensors("body")
    elements = sum(_elements(name, entry) for name, entry in header.items())
    if elements > most_elements:
        raise too_many(most_elements, "body")
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(body)
    except SafetensorError as err:
        raise UnreadableBody(f"not a safetensors body: {err}"[:500], at="body") from err
    except (KeyError, ValueError, RuntimeError, OverflowError) as err:
        raise UnreadableBody(f"not readable: {type(err).__name__}: {err}"[:500], at="body") from err
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values():
            raise UnreadableBody(
                "a dtype that lossd does not compute with",
                at=f"inputs.{name}"[:200],
                expected=", ".join(DTYPES),
                got=str(tensor.dtype).removeprefix("torch."),
            )
    return Message(tensors, {key: field_of(text) for key, text in metadata.items()})


def _header(body: bytes) -> dict[str, Any]:
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
    try:
        header = msgspec.json.decode(body[8 : 8 + size])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UnreadableBody(f"the header is not JSON: {err}", at="body") from err
    if not isinstance(header, dict):
        raise UnreadableBody("the header is not a JSON object", at="body")
    metadata = header.get("__metadata__")
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())
    ):
        raise UnreadableBody("__metadata__ holds something that is not text", at="__metadata__")
    return header


def _elements(name: str, entry: Any) -> int:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise UnreadableBody("a tensor without a shape", at=f"inputs.{name}"[:200])
    if len(shape) > MAX_DIMS:
        expected = f"at most {MAX_DIMS} dimensions"
        raise WrongShape("too many dimensions", at=f"inputs.{name}"[:200], expected=expected)
    return math.prod(shape)


def encode(message: Message) -> bytes:
    """Write a message. Every dtype survives, bfloat16 and NaN payloads included."""
    tensors = {name: tensor.contiguous() for name, tensor in message.tensors.items()}
    metadata = {key: json.dumps(value, allow_nan=False) for key, value in message.fields.items()}
    return safetensors.torch.save(tensors, metadata=metadata)
