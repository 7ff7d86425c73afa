"""Open Inference Protocol v2 requests: a JSON header, and raw tensors behind it.

The header is JSON; the tensors that state a `binary_data_size` follow it in the order of the
inputs, little-endian, row-major, without padding. Others are in the header as `data`, or in a
region of shared memory, which this module only names.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.errors import UnreadableBody, WrongDtype, WrongShape
from lossd.wire._checks import MAX_DIMS, MAX_TENSORS, as_tensor, too_many, too_many_tensors
from lossd.wire._json_arrays import read_array

DATATYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "UINT8": torch.uint8,
    "UINT16": torch.uint16,
    "UINT32": torch.uint32,
    "UINT64": torch.uint64,
    "INT8": torch.int8,
    "INT16": torch.int16,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "FP16": torch.float16,
    "BF16": torch.bfloat16,
    "FP32": torch.float32,
    "FP64": torch.float64,
}
NAMES = {dtype: name for name, dtype in DATATYPES.items()}
BINARY_ONLY = ("FP16", "BF16")
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Place:
    """Part of a region of shared memory, in bytes."""

    region: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True)
class OipInput:
    """One input; its tensor, or the place in shared memory where its bytes are."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    tensor: Tensor | None
    place: Place | None


@dataclass(frozen=True, slots=True)
class OipOutput:
    """How one output is wanted: as bytes or JSON, as so many top classes, or in shared memory."""

    name: str
    binary: bool
    classes: int
    place: Place | None


@dataclass(frozen=True, slots=True)
class OipRequest:
    """An inference request. No `outputs` means all of them, as `binary` says."""

    id: str
    parameters: Mapping[str, Any]
    inputs: tuple[OipInput, ...]
    outputs: tuple[OipOutput, ...]
    binary: bool


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: msgspec.Raw = msgspec.Raw(b"")


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Header(msgspec.Struct):
    inputs: list[_Input]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[_Output] = []


_header = msgspec.json.Decoder(_Header)
_booleans = msgspec.json.Decoder(list[Any])


def read_request(body: Bytes, header_bytes: int | None, most_elements: int) -> OipRequest:
    """Read a request whose JSON is the first `header_bytes` of the body; None is all of it.

    Raises `UnreadableBody`, `WrongDtype`, `WrongShape`, `TooLarge`.
    """
    size = body.size if header_bytes is None else header_bytes
    if size > body.size:
        raise UnreadableBody(
            "the JSON header is longer than the body",
            at="headers.inference-header-content-length",
            expected=f"at most {body.size}",
            got=str(size)[:20],
        )
    try:
        header = _header.decode(body.data[:size])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UnreadableBody(f"not an inference request: {err}"[:300], at="body") from err
    if len(header.inputs) > MAX_TENSORS or len(header.outputs) > MAX_TENSORS:
        raise too_many_tensors("inputs")
    parameters = dict(header.parameters)
    binary = _flag(parameters.pop("binary_data_output", False), "parameters.binary_data_output")
    return OipRequest(
        id=header.id,
        parameters=parameters,
        inputs=tuple(_inputs(header.inputs, body[size:], most_elements)),
        outputs=tuple(_output(each, binary) for each in header.outputs),
        binary=binary,
    )


def read_raw(body: Bytes, name: str, datatype: str, most_elements: int) -> OipRequest:
    """A request that is nothing but the bytes of the one input of a model."""
    dtype = DATATYPES[datatype]
    if body.size % dtype.itemsize or body.size // dtype.itemsize > most_elements:
        expected = f"a multiple of {dtype.itemsize} bytes, at most {most_elements} elements"
        raise UnreadableBody(
            f"not a raw {datatype} tensor", at="body", expected=expected, got=f"{body.size} bytes"
        )
    shape = (body.size // dtype.itemsize,)
    tensor = as_tensor(body, dtype, shape)
    return OipRequest("", {}, (OipInput(name, datatype, shape, tensor, None),), (), True)


def _inputs(wanted: list[_Input], tail: Bytes, most_elements: int) -> Iterator[OipInput]:
    left, position, seen = most_elements, 0, set()
    for i, each in enumerate(wanted):
        at = f"inputs.{each.name}"[:200]
        if each.name in seen:
            raise UnreadableBody("an input of that name is there twice", at=f"inputs[{i}].name")
        seen.add(each.name)
        dtype = _dtype(each.datatype, at)
        shape = _shape(each.shape, at)
        left -= math.prod(shape)
        if left < 0:
            raise too_many(most_elements, at)
        n_bytes = _binary_size(each, dtype, shape, at)
        place = _place(each.parameters, at)
        if (n_bytes is not None) + (place is not None) + bool(bytes(each.data)) != 1:
            raise UnreadableBody(
                "an input has its numbers in one place",
                at=at,
                expected="exactly one of data, binary_data_size and shared_memory_region",
            )
        tensor = None
        if n_bytes is not None:
            if position + n_bytes > tail.size:
                raise UnreadableBody(
                    "the binary data ends too early",
                    at=at,
                    expected=f"{n_bytes} bytes",
                    got=f"{tail.size - position} bytes",
                )
            tensor = as_tensor(tail[position : position + n_bytes], dtype, shape)
            position += n_bytes
        elif place is None:
            tensor = _listed(bytes(each.data), each.datatype, shape, at, most_elements)
        else:
            _check_size(place.byte_size, dtype, shape, f"{at}.shared_memory_byte_size")
        yield OipInput(each.name, each.datatype, shape, tensor, place)
    if position != tail.size:
        raise UnreadableBody(
            "there is binary data that no input claims",
            at="body",
            expected=f"{position} bytes",
            got=f"{tail.size} bytes",
        )


def _output(each: _Output, binary: bool) -> OipOutput:
    at = f"outputs.{each.name}"[:200]
    place = _place(each.parameters, at)
    classes = each.parameters.get("classification", 0)
    if type(classes) is not int or not 0 <= classes <= 1 << 20:
        raise UnreadableBody("not a number of classes", at=f"{at}.classification")
    own = each.parameters.get("binary_data")
    if place is not None and (classes or own is True):
        raise UnreadableBody(
            "an output in shared memory is neither in the body nor classified", at=at
        )
    wanted = binary if own is None else _flag(own, f"{at}.binary_data")
    return OipOutput(each.name, wanted, classes, place)


def _flag(value: Any, at: str) -> bool:
    if isinstance(value, bool):
        return value
    raise UnreadableBody("neither true nor false", at=at, got=repr(value)[:50])


def _dtype(datatype: str, at: str) -> torch.dtype:
    if datatype in DATATYPES:
        return DATATYPES[datatype]
    raise WrongDtype(
        "no datatype that a loss takes",
        at=f"{at}.datatype",
        expected=", ".join(DATATYPES),
        got=datatype[:50],
    )


def _shape(shape: list[int], at: str) -> tuple[int, ...]:
    if len(shape) <= MAX_DIMS and all(0 <= size < 1 << 48 for size in shape):
        return tuple(shape)
    expected = f"at most {MAX_DIMS} sizes >= 0"
    raise WrongShape("not a shape", at=f"{at}.shape", expected=expected, got=repr(shape)[:100])


def _binary_size(each: _Input, dtype: torch.dtype, shape: tuple[int, ...], at: str) -> int | None:
    size = each.parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int:
        raise UnreadableBody("not a number of bytes", at=f"{at}.binary_data_size")
    _check_size(size, dtype, shape, f"{at}.binary_data_size")
    return size


def _check_size(size: int, dtype: torch.dtype, shape: tuple[int, ...], at: str) -> None:
    wanted = math.prod(shape) * dtype.itemsize
    if size != wanted:
        raise WrongShape(
            "the data is not as long as the shape says",
            at=at,
            expected=f"{wanted} bytes for shape {list(shape)}",
            got=f"{size} bytes",
        )


def _place(parameters: Mapping[str, Any], at: str) -> Place | None:
    region = parameters.get("shared_memory_region")
    if region is None:
        return None
    size = parameters.get("shared_memory_byte_size")
    offset = parameters.get("shared_memory_offset", 0)
    if not isinstance(region, str) or type(size) is not int or type(offset) is not int:
        raise UnreadableBody(
            "not a part of shared memory",
            at=at,
            expected="shared_memory_region, a string; shared_memory_byte_size, an integer",
        )
    return Place(region, offset, size)


def _listed(text: bytes, datatype: str, shape: tuple[int, ...], at: str, most: int) -> Tensor:
    """Numbers in JSON, flat or nested in any way: only their count must fit the shape."""
    if datatype in BINARY_ONLY:
        raise WrongDtype(
            f"{datatype} cannot be written in JSON", at=f"{at}.data", expected="binary data"
        )
    dtype, count = DATATYPES[datatype], math.prod(shape)
    if dtype == torch.bool:
        return _listed_booleans(text, count, f"{at}.data").reshape(shape)
    read = read_array(text, at=f"{at}.data", most=most)
    if read.numel() != count:
        raise WrongShape(
            "the data is not as long as the shape says",
            at=f"{at}.data",
            expected=f"{count} numbers for shape {list(shape)}",
            got=f"{read.numel()} numbers",
        )
    cast = read.to(dtype)
    exact = dtype.is_floating_point or torch.equal(cast.to(read.dtype), read)
    if not exact or (not dtype.is_floating_point and read.is_floating_point() and count):
        raise WrongDtype(f"not a number of {datatype}", at=f"{at}.data", expected=datatype)
    return cast.reshape(shape)


def _listed_booleans(text: bytes, count: int, at: str) -> Tensor:
    try:
        flat = list(_flatten(_booleans.decode(text)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UnreadableBody(f"not a list: {err}"[:200], at=at) from err
    if len(flat) != count or not all(each is True or each is False for each in flat):
        raise WrongDtype("not booleans, or not so many", at=at, expected=f"{count} booleans")
    return torch.tensor(flat, dtype=torch.bool)


def _flatten(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _flatten(each)
    else:
        yield value
