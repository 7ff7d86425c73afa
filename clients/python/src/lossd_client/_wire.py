"""Calls and answers as safetensors."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from lossd_client._arrays import ArrayLike, Packed, pack

MEDIA_TYPE = "application/vnd.safetensors"
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def encode(inputs: Mapping[str, Any], fields: Mapping[str, Any]) -> bytes:
    """A request: tensors by name, a group's as `group/member`, other fields as JSON text."""
    packed: dict[str, Packed] = {}
    for name, value in inputs.items():
        members: Mapping[str, ArrayLike] = (
            {f"{name}/{key}": each for key, each in value.items()}
            if isinstance(value, Mapping)
            else {name: value}
        )
        for key, each in members.items():
            packed[key] = pack(key, each)
    metadata = {key: json.dumps(value, allow_nan=False) for key, value in fields.items()}
    specs = {
        name: safetensors.TensorSpec(
            dtype=one.dtype,
            shape=one.shape,
            data_ptr=one.buffer.ctypes.data,
            data_len=one.buffer.nbytes,
        )
        for name, one in packed.items()
    }
    return bytes(safetensors.serialize(specs, metadata=metadata))  # `packed` keeps the buffers


def decode(body: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """An answer's tensors (bfloat16 widened to float32, which numpy has) and its other fields."""
    size = int.from_bytes(body[:8], "little")
    metadata = json.loads(body[8 : 8 + size]).get("__metadata__", {})
    found = safetensors.deserialize(body)  # type: ignore[no-untyped-call] # it ships no types
    tensors = {name: _array(each) for name, each in found}
    return tensors, {key: json.loads(text) for key, text in metadata.items()}


def _array(each: Mapping[str, Any]) -> NDArray[Any]:
    if each["dtype"] == "BF16":
        wide = np.frombuffer(each["data"], np.uint16).astype(np.uint32) << 16
        return wide.view(np.float32).reshape(each["shape"])
    return np.frombuffer(each["data"], _DTYPES[each["dtype"]]).reshape(each["shape"])
