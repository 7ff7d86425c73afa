"""Small requests of plain numbers, read at once: one parse, and no Python object per number.

The punctuation alone proves the shape of each array, and callers repeat themselves, so what it
proves is kept. Whatever is out of the ordinary, wrong or not, is left to the reader that explains.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.wire._json_arrays import shape_of
from lossd.wire.message import Message

try:
    import simdjson
except ModuleNotFoundError:  # no wheels for the newest Pythons; others read everything
    simdjson = None  # type: ignore[assignment] # tested for before use

MOST_BYTES = 1 << 15
_NOT_PUNCTUATION = bytes(set(range(256)) - set(b'[]{},:"\\'))
_MEMBER = re.compile(rb'"":(\[[\[\],]*\])')
Shape = tuple[int, ...]
Layout = tuple[tuple[Shape, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class SmallRequest:
    """What a small request says: int64 and float64 arrays in `inputs`, plain values beside them."""

    inputs: Mapping[str, NDArray[Any]]
    fields: Mapping[str, Any]

    def message(self) -> Message:
        """The same with tensors."""
        tensors = {name: torch.from_numpy(x) for name, x in self.inputs.items()}
        return Message(tensors, self.fields, frozenset(tensors))


def read_small(body: bytes, most_elements: int) -> SmallRequest | None:
    """The request in a body; None if that must be looked at more closely."""
    if simdjson is None or len(body) > MOST_BYTES:
        return None
    layout = _layout_of(body.translate(None, delete=_NOT_PUNCTUATION))
    if layout is None:
        return None
    try:
        return _read(simdjson.Parser().parse(body), layout, most_elements)
    except (ValueError, TypeError, RuntimeError, KeyError, AttributeError):
        return None  # not JSON, or not numbers


def _read(request: Any, layout: Layout, most_elements: int) -> SmallRequest | None:
    names = list(request.keys())
    if len(names) != len(layout) or len(set(names)) != len(names):
        return None
    inputs: dict[str, NDArray[Any]] = {}
    fields: dict[str, Any] = {}
    for name, shapes in zip(names, layout, strict=True):
        value = request[name]
        if name == "inputs":
            keys = list(value.keys())
            if shapes is None or len(keys) != len(shapes) or len(set(keys)) != len(keys):
                return None
            for key, shape in zip(keys, shapes, strict=True):
                array = _array(value[key], shape)
                if array is None:
                    return None
                inputs[key] = array
                most_elements -= array.size
        elif name in ("row_weights", "cotangent"):
            return None
        else:
            fields[name] = _plain(value)
    return SmallRequest(inputs, fields) if most_elements >= 0 else None


def _plain(value: Any) -> Any:
    if isinstance(value, simdjson.Object):
        return value.as_dict()
    return value.as_list() if isinstance(value, simdjson.Array) else value


def _array(array: Any, shape: Shape) -> NDArray[Any] | None:
    """Numbers in a shape; None if there are not so many, or if they may all be integers."""
    if len(shape) == 1:  # most often labels
        try:
            integers = np.frombuffer(array.as_buffer(of_type="i"), np.int64)
        except (ValueError, TypeError):
            pass
        else:
            return integers if integers.size == shape[0] else None
    numbers = np.frombuffer(array.as_buffer(of_type="d"), np.float64)
    if numbers.size != math.prod(shape):
        return None
    # Numbers that were all written as integers are integers.
    if numbers[0] % 1.0 == 0.0 and not np.any(numbers % 1.0):
        return None
    return numbers.reshape(shape)


@lru_cache(128)
def _layout_of(punctuation: bytes) -> Layout | None:
    """Of each member of the request: the shapes of its members, if all are arrays of numbers."""
    if b"\\" in punctuation:
        return None  # what is escaped may be a quotation mark
    try:
        return tuple(_members(punctuation))
    except ValueError:
        return None


def _members(text: bytes) -> Iterator[tuple[Shape, ...] | None]:
    at = _after(text, 0, b"{")
    while True:
        at = _after(text, at, b'"":')
        end = _end_of(text, at)
        yield _shapes(text[at:end])
        if text[end:] == b"}":
            return
        at = _after(text, end, b",")


def _shapes(text: bytes) -> tuple[Shape, ...] | None:
    """The shapes of the arrays in an object of nothing else."""
    if text[:1] != b"{":
        return None
    shapes, at = [], 1
    while array := _MEMBER.match(text, at):
        shape = shape_of(array[1])
        if shape is None:
            return None
        shapes.append(shape)
        at = array.end()
        if text[at:] == b"}":
            return tuple(shapes)
        at = _after(text, at, b",")
    return None


def _after(text: bytes, at: int, expected: bytes) -> int:
    if not text.startswith(expected, at):
        raise ValueError
    return at + len(expected)


def _end_of(text: bytes, at: int) -> int:
    """Where the value that begins here ends."""
    depth, quoted = 0, False
    for i in range(at, len(text)):
        byte = text[i : i + 1]
        if byte == b'"':
            quoted = not quoted
        elif quoted:
            continue
        elif byte in b"[{":
            depth += 1
        elif depth and byte in b"]}":
            depth -= 1
        elif not depth and byte in b",}":
            return i
    raise ValueError
