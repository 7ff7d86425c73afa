"""Calls and answers as safetensors, without a copy of any tensor on the way out or in."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd_client._arrays import ArrayLike, Packed, pack

MEDIA_TYPE = "application/vnd.safetensors"
_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
    "BF16": np.dtype("<u2"),  # numpy has no bfloat16; these are its bits
}
_CODES = {dtype.name: code for code, dtype in _DTYPES.items() if code != "BF16"}
_CODES |= {"bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
_ALIGNMENT_BYTES = 8

Parts = Sequence[Any]  # bytes-like buffers, to be sent one after another


def encode(packed: Mapping[str, Packed], fields: Mapping[str, Any]) -> Parts:
    """A request: tensors by name, other fields as JSON text.

    The parts after the first are the tensors' own memory.
    """
    entries: dict[str, Any] = {
        "__metadata__": {key: to_json(value) for key, value in fields.items()}
    }
    at = 0
    for name, one in packed.items():
        end = at + one.buffer.nbytes
        entries[name] = {
            "dtype": _CODES[one.dtype],
            "shape": one.shape,
            "data_offsets": [at, end],
        }
        at = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT_BYTES)
    buffers = [one.buffer.reshape(-1).view(np.uint8).data for one in packed.values()]
    return [len(header).to_bytes(8, "little") + header, *buffers]


def to_json(value: Any) -> str:
    """JSON text of plain values, and of scalars and arrays of numpy or torch among them.

    Raises `TypeError` for anything else, `ValueError` for NaN and infinities.
    """
    return json.dumps(value, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no value that JSON has")


def pack_all(inputs: Mapping[str, Any]) -> dict[str, Packed]:
    """Every tensor by its name, a group's as `group/member`.

    The widest numbers come first, so that each tensor begins at a multiple of its own. Raises
    `TypeError` for what holds no numbers.
    """
    packed: list[tuple[str, Packed]] = []
    for name, value in inputs.items():
        members: Mapping[str, ArrayLike] = (
            {f"{name}/{key}": each for key, each in value.items()}
            if isinstance(value, Mapping)
            else {name: value}
        )
        packed += [(key, pack(key, each)) for key, each in members.items()]
    return dict(sorted(packed, key=lambda named: -named[1].buffer.itemsize))


def decode(body: memoryview | bytearray) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """An answer's tensors and its other fields. Raises `ValueError` for any other bytes.

    The arrays are views of `body`, writable if it is; bfloat16 is widened to float32.
    """
    view = memoryview(body)
    size = int.from_bytes(view[:8], "little")
    if len(view) < 8 or size > len(view) - 8:
        raise ValueError(f"a header of {size} bytes in an answer of {len(view)}")
    header = _read_json(bytes(view[8 : 8 + size]))
    if not isinstance(header, dict):
        raise ValueError("the header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise ValueError("__metadata__ holds something that is not text")
    data = view[8 + size :]
    tensors = {name: _array(name, entry, data) for name, entry in header.items()}
    return tensors, {key: _read_json(text) for key, text in metadata.items()}


def _read_json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError as err:
        raise ValueError("JSON that is nested too deeply") from err


def _array(name: str, entry: Any, data: memoryview) -> NDArray[Any]:
    dtype, shape, begin, end = _checked(name, entry)
    count = math.prod(shape)
    if end > len(data) or end - begin != count * dtype.itemsize:
        raise ValueError(f"{name[:50]}: bytes {begin} to {end} of {len(data)} for shape {shape}")
    array = np.frombuffer(data[begin:end], dtype)
    if entry["dtype"] == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(shape)


def _checked(name: str, entry: Any) -> tuple[np.dtype[Any], list[int], int, int]:
    """Dtype, shape, and the places of the first byte and of the one after the last."""
    parts = entry if isinstance(entry, dict) else {}
    dtype = _DTYPES.get(str(parts.get("dtype")))
    shape, offsets = _sizes(parts.get("shape")), _sizes(parts.get("data_offsets"))
    if dtype is None or shape is None or offsets is None:
        raise ValueError(f"{name[:50]}: not a tensor: {str(entry)[:200]}")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{name[:50]}: data_offsets are {str(offsets)[:200]}")
    return dtype, shape, offsets[0], offsets[1]


def _sizes(found: Any) -> list[int] | None:
    if not isinstance(found, list):
        return None
    return found if all(type(n) is int and 0 <= n <= sys.maxsize for n in found) else None
