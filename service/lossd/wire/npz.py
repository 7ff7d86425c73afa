"""NPZ: a zip of .npy arrays. No pickle.

The other fields of a request are arrays of one text each, in JSON; text that is not JSON is a
string as it stands.
"""

import io
import json
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy
from torch import Tensor

from lossd.errors import NotAcceptable, UnreadableBody, WrongDtype, WrongShape
from lossd.wire._checks import (
    DTYPES,
    MAX_DIMS,
    MAX_TENSORS,
    NOT_IN_NUMPY,
    field_of,
    from_bytes,
    too_many,
    too_many_tensors,
)
from lossd.wire.message import Message, Parts

media_type = "application/x-npz"
aliases: tuple[str, ...] = ("application/npz",)
dtypes: tuple[str, ...] = tuple(name for name in DTYPES if name not in NOT_IN_NUMPY)
in_place = False

_MOST_TEXT = 1 << 20  # characters of one field
# numpy reads a header as Python source, so it fails in all the ways of Python's own reader.
_HEADER_ERRORS = (
    ValueError, SyntaxError, TypeError, KeyError, AttributeError, RecursionError, MemoryError,
    tokenize.TokenError,
)  # fmt: skip
_ZIP_ERRORS = (
    zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, struct.error, zlib.error, lzma.LZMAError,
)  # fmt: skip
Header = tuple[tuple[int, ...], bool, "np.dtype[Any]"]


def decode(body: bytes, most_elements: int) -> Message:
    """Read a message. Nothing is unpacked before its header says that it fits.

    Raises `UnreadableBody` on bytes that are no NPZ, `WrongDtype`, `WrongShape`, `TooLarge`.
    """
    tensors: dict[str, Tensor] = {}
    fields: dict[str, Any] = {}
    left = most_elements
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
            if len(members) > MAX_TENSORS:
                raise too_many_tensors("body")
            for member in members:
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as file:
                    shape, fortran, dtype = _header(file, f"inputs.{name}"[:200])
                    if dtype.kind == "U":
                        fields[name] = field_of(_text(file, shape, dtype, name[:100]))
                        continue
                    left -= math.prod(shape)
                    if left < 0:
                        raise too_many(most_elements, f"inputs.{name}"[:200])
                    tensors[name] = _tensor(file, shape, fortran, dtype, f"inputs.{name}"[:200])
    except _ZIP_ERRORS as err:
        raise UnreadableBody(f"not an NPZ body: {err}"[:300], at="body") from err
    return Message(tensors, fields)


def _header(file: Any, at: str) -> Header:
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        header: Header = read(file)
    except _HEADER_ERRORS as err:
        raise UnreadableBody(f"not an .npy member: {err}"[:300], at=at) from err
    shape, _, dtype = header
    if len(shape) > MAX_DIMS:
        raise WrongShape("too many dimensions", at=at, expected=f"at most {MAX_DIMS} dimensions")
    if dtype.kind not in "fiubU" or (dtype.kind != "U" and dtype.name not in dtypes):
        expected = ", ".join(dtypes)
        raise WrongDtype("a dtype that lossd does not compute with", at=at, expected=expected)
    return header


def _read_exactly(file: Any, size: int, at: str) -> bytearray:
    data = bytearray(file.read(size + 1))
    if len(data) != size:
        raise UnreadableBody("the data is not as long as the header says", at=at)
    return data


def _tensor(
    file: Any, shape: tuple[int, ...], fortran: bool, dtype: "np.dtype[Any]", at: str
) -> Tensor:
    data = _read_exactly(file, math.prod(shape) * dtype.itemsize, at)
    if dtype.byteorder == ">":
        data = bytearray(np.frombuffer(data, dtype).astype(dtype.newbyteorder("<")).tobytes())
    laid_out = tuple(reversed(shape)) if fortran else shape
    x = from_bytes(data, DTYPES[dtype.name], laid_out, at)
    return x.permute(*reversed(range(x.ndim))).contiguous() if fortran else x


def _text(file: Any, shape: tuple[int, ...], dtype: "np.dtype[Any]", at: str) -> str:
    if shape not in ((), (1,)) or dtype.itemsize > 4 * _MOST_TEXT:
        raise WrongShape("a field is one text", at=at, expected="one text", got=str(list(shape)))
    try:
        return str(np.frombuffer(_read_exactly(file, dtype.itemsize, at), dtype)[0])
    except (UnicodeDecodeError, ValueError) as err:
        raise UnreadableBody("a field is not text", at=at) from err


def encode(message: Message) -> bytes:
    """Write a message. Raises `NotAcceptable` for dtypes that numpy does not have."""
    arrays: dict[str, Any] = {}
    for name, tensor in message.all_tensors.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype in NOT_IN_NUMPY:
            raise NotAcceptable(
                f"NPZ cannot carry {name}, which is {dtype}",
                at="headers.accept",
                expected="another format, or gradient_dtype float16 or float32",
            )
        arrays[name] = tensor.contiguous().numpy()
    for name, value in message.fields.items():
        arrays[name] = np.array(json.dumps(value, allow_nan=False))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                npy.write_array(file, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def parts(message: Message) -> Parts:
    """Write a message, in one part. Raises what `encode` raises."""
    return (encode(message),)
