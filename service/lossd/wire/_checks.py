"""What every codec checks of a tensor: its dtype, its shape, its bytes, its size."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.errors import TooLarge, UnreadableBody, WrongDtype, WrongShape

DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.uint8,
        torch.uint16,
        torch.uint32,
        torch.uint64,
        torch.bool,
    )
}
NOT_IN_NUMPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")  # nor in Arrow
MAX_DIMS = 8
MAX_TENSORS = 10_000


def dtype_named(name: object, at: str) -> torch.dtype:
    """The dtype of that name. Raises `WrongDtype`."""
    if isinstance(name, str) and name in DTYPES:
        return DTYPES[name]
    raise WrongDtype(
        "unknown dtype", at=at, expected=f"one of {', '.join(DTYPES)}", got=repr(name)[:100]
    )


def checked_shape(shape: object, at: str) -> tuple[int, ...]:
    """A list of sizes as a shape. Raises `WrongShape`."""
    if (
        isinstance(shape, list)
        and len(shape) <= MAX_DIMS
        and all(type(size) is int and size >= 0 for size in shape)
    ):
        return tuple(shape)
    raise WrongShape(
        "not a shape",
        at=at,
        expected=f"a list of at most {MAX_DIMS} integers, each >= 0",
        got=repr(shape)[:100],
    )


def from_bytes(data: bytearray, dtype: torch.dtype, shape: Sequence[int], at: str) -> Tensor:
    """View little-endian bytes as a tensor. Raises `UnreadableBody` if the length is not right."""
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise UnreadableBody(
            "the data is not as long as the shape says",
            at=at,
            expected=f"{wanted} bytes for shape {list(shape)}"[:200],
            got=f"{len(data)} bytes",
        )
    return as_tensor(np.frombuffer(data, np.uint8), dtype, tuple(shape))


def as_tensor(data: NDArray[np.uint8], dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """View bytes as a tensor; they are copied only where they are not aligned, or read-only."""
    if not data.size:
        return torch.empty(shape, dtype=dtype)
    if data.ctypes.data % dtype.itemsize or not data.flags.writeable:
        data = data.copy()
    return torch.from_numpy(data).view(dtype).reshape(shape)


def bytes_of(tensor: Tensor) -> memoryview:
    """The little-endian bytes of a tensor, not copied where it is contiguous."""
    flat = tensor.contiguous().reshape(-1)
    if not flat.numel():
        return memoryview(b"")
    view: memoryview = flat.view(torch.uint8).numpy().data
    return view


def field_of(text: str) -> Any:
    """A field that a format carries as text: JSON, or else the text itself."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def too_many(most: int, at: str) -> TooLarge:
    """The error for a request of more than `most` elements."""
    return TooLarge(
        "too many elements in one request",
        at=at,
        expected=f"at most {most} (LOSSD_MAX_ELEMENTS)",
        got="more",
    )


def too_many_tensors(at: str) -> TooLarge:
    """The error for a request of more than `MAX_TENSORS` tensors."""
    return TooLarge(
        "too many tensors in one request", at=at, expected=f"at most {MAX_TENSORS}", got="more"
    )
