"""JSON replies: numbers from arrays to text without a Python object each, large ones in pieces."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import orjson
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.floats import are_finite
from lossd.wire.message import Message, Parts

PIECE_ELEMENTS = 1 << 16  # about 2 ms of writing, during which no other thread runs
_WIDENED = frozenset({torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2})
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def encode(message: Message) -> bytes:
    """Write a message as strict JSON: `a.b/c` nests, float32 in its shortest digits."""
    return b"".join(parts(message))


def parts(message: Message) -> Parts:
    """Write a message as `encode` does, in parts."""
    answer: dict[str, Any] = dict(message.fields)
    for name, x in message.scalars.items():
        answer[name] = x if math.isfinite(x) else _name_of(x)
    large = False
    for name, tensor in message.tensors.items():
        large = large or tensor.numel() > PIECE_ELEMENTS
        if "." not in name:
            answer[name] = as_json(tensor)
            continue
        place = answer
        head, _, rest = name.partition(".")
        *parents, last = [head, *rest.split("/", 1)]
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = as_json(tensor)
    return tuple(_pieces(answer)) if large else (orjson.dumps(answer, option=_NUMPY),)


def write_small(
    fields: Mapping[str, Any],
    rows: NDArray[Any] | None,
    gradients: Mapping[str, NDArray[Any]],
    nulls: int,
) -> bytes | None:
    """Write a small answer as `encode` would; None if some number in an array is not finite.

    `nulls` is how many `null` the text of the fields alone has.
    """
    answer = dict(fields)
    if rows is not None:
        answer["rows"] = rows if rows.ndim else rows[()]
    if gradients:
        answer["gradients"] = gradients
    text = orjson.dumps(answer, option=_NUMPY)
    return text if text.count(b"null") == nulls else None  # what is not finite is written so


def as_json(tensor: Tensor) -> Any:
    """Something that orjson writes as nested lists without a Python object per number."""
    if tensor.dtype in _WIDENED:
        tensor = tensor.float()
    array: NDArray[Any] = tensor.contiguous().numpy()
    if array.dtype.kind == "f" and not are_finite(array):
        short = orjson.dumps(array if array.ndim else array[()], option=_NUMPY)
        return _with_strings(orjson.loads(short), tensor.tolist())
    return array if array.ndim else array[()]


def _name_of(x: float) -> str:
    return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"


def _with_strings(short: Any, value: Any) -> Any:
    """The shortest digits of each number, and a string where there are none."""
    if isinstance(value, list):
        return [_with_strings(a, b) for a, b in zip(short, value, strict=True)]
    return short if short is not None else _name_of(value)


def _pieces(value: Any) -> Iterator[bytes]:
    """The text of an object, whose large arrays come some rows at a time."""
    if isinstance(value, np.ndarray) and value.ndim and value.size > PIECE_ELEMENTS:
        step = max(1, PIECE_ELEMENTS * len(value) // value.size)
        for start in range(0, len(value), step):
            yield b"," if start else b"["
            yield orjson.dumps(value[start : start + step], option=_NUMPY)[1:-1]
        yield b"]"
    elif isinstance(value, Mapping):
        yield b"{"
        for i, (key, each) in enumerate(value.items()):
            yield (b"," if i else b"") + orjson.dumps(key) + b":"
            yield from _pieces(each)
        yield b"}"
    else:
        yield orjson.dumps(value, option=_NUMPY)
