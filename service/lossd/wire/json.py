"""JSON: tensors as nested lists, or {"dtype", "shape", "data"} with a list or base64.

Non-finite numbers are the strings "NaN", "Infinity" and "-Infinity", both ways.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from lossd.errors import UnreadableBody, WrongDtype, WrongShape
from lossd.wire._checks import (
    DTYPES,
    MAX_TENSORS,
    checked_shape,
    dtype_named,
    from_bytes,
    too_many,
    too_many_tensors,
)
from lossd.wire._json_arrays import read_array
from lossd.wire._json_reply import encode as encode
from lossd.wire._json_reply import parts as parts
from lossd.wire._json_reply import write_small as write_small
from lossd.wire._json_small import SmallRequest as SmallRequest
from lossd.wire._json_small import read_small as read_small
from lossd.wire.message import Body, Message

media_type = "application/json"
aliases: tuple[str, ...] = ("text/json",)
dtypes: tuple[str, ...] = tuple(DTYPES)
in_place = True

try:
    from lossd.wire import _json_scan as scan
except ModuleNotFoundError:  # no numba: all is read by what reads the rest
    scan = None  # type: ignore[assignment] # tested for before use

LARGE_BYTES = 1 << 16
Members = Mapping[str, Body | msgspec.Raw]

_TENSOR_FIELDS = {"dtype", "shape", "data"}
_TENSORS = ("row_weights", "cotangent")  # tensors that stand beside `inputs`
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder()


def decode(body: Body, most_elements: int) -> Message:
    """Read a message.

    Raises `UnreadableBody` on bytes that are not JSON, and what `read_array` raises.
    """
    if isinstance(body, bytes):
        small = read_small(body, most_elements)
        if small is not None:
            return small.message()
    return _read(body, most_elements, "inputs", _TENSORS)


def decode_named(body: Body, most_elements: int) -> Message:
    """Read a message whose tensors are all in the object `tensors`. Raises what `decode` raises."""
    return _read(body, most_elements, "tensors", ())


def _read(body: Body, most_elements: int, holder: str, beside: tuple[str, ...]) -> Message:
    raw = dict(_members(body, "body"))
    reader = _Reader(most_elements)
    if holder in raw:
        reader.read_members(raw.pop(holder), holder)
    for name in beside:
        if name in raw:
            reader.read(name, raw.pop(name), name, may_be_group=False)
    return Message(
        reader.tensors,
        {name: _value(value, name) for name, value in raw.items()},
        frozenset(reader.untyped),
    )


def read_inputs(text: bytes, most_elements: int) -> Message:
    """Read an object of tensors and groups alone, for formats that carry some as JSON.

    Raises what `decode` raises.
    """
    reader = _Reader(most_elements)
    reader.read_members(text, "inputs")
    return Message(reader.tensors, {}, frozenset(reader.untyped))


class _Reader:
    """Collects tensors, and counts their elements against the limit."""

    def __init__(self, most_elements: int) -> None:
        self.most = self.left = most_elements
        self.tensors: dict[str, Tensor] = {}
        self.untyped: set[str] = set()

    def read_members(self, raw: Body | msgspec.Raw, at: str) -> None:
        for name, value in _members(raw, at).items():
            self.read(name, value, f"{at}.{name}", may_be_group=True)

    def read(self, name: str, raw: Body | msgspec.Raw, at: str, *, may_be_group: bool) -> None:
        large = _large_array(raw, self.left)
        if large is not None:
            self._add(name, large, at)
            self.untyped.add(name)
            return
        text = bytes(raw)
        if text[:1].isspace() or text[-1:].isspace():
            text = text.strip()
        if text.startswith(b"{"):
            members = _members(raw, at)
            if may_be_group and not members.keys() >= _TENSOR_FIELDS:
                for key, value in members.items():
                    self.read(f"{name}/{key}", value, f"{at}.{key}", may_be_group=False)
                return
            tensor = self._typed(members, at)
        else:
            tensor = read_array(text, at=at, most=self.left)
            self.untyped.add(name)
        self._add(name, tensor, at)

    def _add(self, name: str, tensor: Tensor, at: str) -> None:
        if name in self.tensors:  # `a/b`, and `b` in the group `a`
            raise UnreadableBody("two tensors of one name", at=at)
        self.tensors[name] = tensor
        self.left -= tensor.numel()
        if self.left < 0:
            raise too_many(self.most, at)
        if len(self.tensors) > MAX_TENSORS:
            raise too_many_tensors(at)

    def _typed(self, members: Members, at: str) -> Tensor:
        if members.keys() != _TENSOR_FIELDS:
            raise WrongDtype(
                "not a tensor",
                at=at,
                expected="nested lists or an object with dtype, shape and data",
                got=f"an object with {', '.join(sorted(members))}"[:200],
            )
        dtype = dtype_named(_value(members["dtype"], at), f"{at}.dtype")
        shape = checked_shape(_value(members["shape"], at), f"{at}.shape")
        text = bytes(members["data"]).strip()
        if text.startswith(b'"'):
            return from_bytes(_base64(text, at), dtype, shape, f"{at}.data")
        listed = read_array(text, at=f"{at}.data", most=self.left)
        return _cast_listed(listed, dtype, shape, at)


def _cast_listed(listed: Tensor, dtype: torch.dtype, shape: tuple[int, ...], at: str) -> Tensor:
    count = 1
    for size in shape:
        count *= size
    if listed.numel() != count or (listed.ndim > 1 and tuple(listed.shape) != shape):
        raise WrongShape(
            "the data does not have the declared shape",
            at=f"{at}.data",
            expected=f"{list(shape)}"[:200],
            got=f"{list(listed.shape)}",
        )
    if not dtype.is_floating_point and listed.is_floating_point() and listed.numel():
        raise WrongDtype(
            "numbers with a fraction or exponent in an integer tensor",
            at=f"{at}.data",
            expected=str(dtype).removeprefix("torch."),
            got="floats",
        )
    return _fits(listed, dtype, at).reshape(shape)


def _fits(listed: Tensor, dtype: torch.dtype, at: str) -> Tensor:
    """Cast; an integer that the declared dtype cannot hold is refused rather than wrapped."""
    cast = listed.to(dtype)
    if not dtype.is_floating_point and not torch.equal(cast.to(torch.int64), listed.long()):
        raise WrongDtype(
            "an integer does not fit the declared dtype",
            at=f"{at}.data",
            expected=str(dtype).removeprefix("torch."),
        )
    return cast


def _base64(text: bytes, at: str) -> bytearray:
    try:
        return bytearray(base64.b64decode(_anything.decode(text), validate=True))
    except (binascii.Error, ValueError) as err:
        raise UnreadableBody(f"not base64: {err}", at=f"{at}.data") from err


def _large_array(raw: Body | msgspec.Raw, most_elements: int) -> Tensor | None:
    """An array of numbers that is worth a scan without the lock; None if it is not, or unusual."""
    if scan is None or len(memoryview(raw)) < LARGE_BYTES:
        return None
    numbers = scan.numbers(np.frombuffer(raw, np.uint8), most_elements)
    return None if numbers is None else torch.from_numpy(numbers)


def _members(raw: Body | msgspec.Raw, at: str) -> Members:
    view = memoryview(raw)
    if scan is not None and len(view) >= LARGE_BYTES:
        found = scan.members(np.frombuffer(view, np.uint8))
        if found is not None:
            return {key: view[place] for key, place in found}
    try:
        return _object.decode(raw)
    except msgspec.ValidationError as err:
        raise UnreadableBody(str(err), at=at, expected="a JSON object") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise UnreadableBody(f"not JSON: {err}", at=at, expected="a JSON object") from err
    except RecursionError as err:
        raise UnreadableBody("nested too deeply", at=at) from err


def _value(raw: Body | msgspec.Raw, at: str) -> Any:
    try:
        return _anything.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise UnreadableBody(f"not JSON: {err}", at=at) from err
    except RecursionError as err:
        raise UnreadableBody("nested too deeply", at=at) from err
