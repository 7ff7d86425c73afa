"""Arrow columns to tensors and back: axis 0 is rows, each level of lists is one more axis."""

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from lossd.errors import NotAcceptable, OutOfRange, UnreadableBody, WrongDtype, WrongShape
from lossd.wire._checks import DTYPES, MAX_DIMS, NOT_IN_NUMPY, too_many

_ARROW_NAMES = {"float16": "halffloat", "float32": "float", "float64": "double"}
_TYPES = MappingProxyType(
    {
        dtype: pa.type_for_alias(_ARROW_NAMES.get(name, name))
        for name, dtype in DTYPES.items()
        if name not in NOT_IN_NUMPY
    }
)
_DTYPES = MappingProxyType({arrow_type: dtype for dtype, arrow_type in _TYPES.items()})


class Elements:
    """Counts the elements of a request against the limit."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def take(self, count: int, at: str) -> None:
        """Count some more. Raises `TooLarge`."""
        self.left -= count
        if self.left < 0:
            raise too_many(self.most, at)


class _Memory:
    """Lends a buffer's memory to numpy, which keeps this object, and so the buffer.

    numpy is told that it may write, because torch warns of memory that it may not write to; nothing
    writes into the inputs of a call.
    """

    def __init__(self, buffer: Any, offset: int, count: int, dtype: "np.dtype[Any]") -> None:
        self._buffer = buffer
        self.__array_interface__ = {
            "version": 3,
            "shape": (count,),
            "typestr": dtype.str,
            "data": (buffer.address + offset, False),
        }


def read_column(name: str, array: Any, elements: Elements, first_row: int = 0) -> Tensor:
    """A column of one batch as a tensor (rows, ...), over the column's own memory if aligned.

    The caller has validated the array. `first_row` is added to the rows that errors name. A list
    column without rows has width 1, for none of them says how wide it is.

    Raises `WrongDtype`, `WrongShape`, `OutOfRange` for nulls, `UnreadableBody` for a tensor type
    that lies, `TooLarge` before memory is taken.
    """
    at = f"inputs.{name}"[:200]
    shape = [len(array)]
    turned: list[int] | None = None
    while True:
        _refuse_nulls(array, shape, first_row, at)
        kind = array.type
        if isinstance(kind, pa.FixedShapeTensorType):
            sizes, turned = _tensor_layout(kind, len(shape), at)
            _refuse_nulls(array.storage, shape, first_row, at)
            array = _inner(array.storage, kind.storage_type.list_size)
            shape += sizes
        elif pa.types.is_fixed_size_list(kind):
            array = _inner(array, kind.list_size)
            shape.append(kind.list_size)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            width, array = _equal_lists(array, shape, first_row, at)
            shape.append(width)
        else:
            break
        if len(shape) > MAX_DIMS:
            expected = f"at most {MAX_DIMS} dimensions"
            raise WrongShape("too many dimensions", at=at, expected=expected)
    if kind not in _DTYPES:
        expected = "numbers, or lists of numbers of one length"
        raise WrongDtype("not a column of numbers", at=at, expected=expected, got=str(kind)[:100])
    elements.take(len(array), at)
    x = _flat_tensor(array).reshape(shape)
    return x if turned is None else x.permute(0, *(axis + 1 for axis in turned)).contiguous()


def _inner(array: Any, size: int) -> Any:
    """What is in lists of a fixed size."""
    return array.values.slice(array.offset * size, len(array) * size)


def _tensor_layout(kind: Any, depth: int, at: str) -> tuple[list[int], list[int] | None]:
    """The sizes of a tensor column's rows as stored, and the order to turn their axes to."""
    sizes, order = list(kind.shape), kind.permutation
    if depth != 1 or math.prod(sizes) != kind.storage_type.list_size or min(sizes, default=0) < 0:
        raise UnreadableBody(
            "the shape of a tensor column is not that of its data",
            at=at,
            expected=f"{kind.storage_type.list_size} elements",
            got=str(sizes)[:100],
        )
    if order is not None and sorted(order) != list(range(len(sizes))):
        raise UnreadableBody("not a permutation", at=at, got=str(order)[:100])
    return sizes, None if order is None else list(order)


def _refuse_nulls(array: Any, shape: Sequence[int], first_row: int, at: str) -> None:
    if not array.null_count:
        return
    null = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
    raise OutOfRange(
        f"{len(null)} value{'s are' if len(null) > 1 else ' is'} null",
        at=at,
        expected="no nulls",
        got="null",
        indices=_places(null[:10], shape, first_row),
    )


def _places(flat: Any, shape: Sequence[int], first_row: int) -> list[list[int]]:
    places = np.stack(np.unravel_index(flat, shape), axis=1).tolist()
    return [[first_row + row, *rest] for row, *rest in places]


def _equal_lists(array: Any, shape: Sequence[int], first_row: int, at: str) -> tuple[int, Any]:
    """The one length that all lists have, and what is in them."""
    if not len(array):
        return 1, array.values.slice(0, 0)
    lengths = np.diff(array.offsets.to_numpy())
    width = int(lengths[0])
    if (lengths != width).any():
        bad = np.flatnonzero(lengths != width)[:1]
        raise WrongShape(
            "the lists of a column differ in length",
            at=at,
            expected=f"a list of {width} as in the first row",
            got=f"a list of {lengths[bad[0]]}",
            indices=_places(bad, shape, first_row),
        )
    return width, array.values.slice(array.offsets[0].as_py(), width * len(array))


def _flat_tensor(array: Any) -> Tensor:
    dtype = _DTYPES[array.type]
    if not len(array):
        return torch.empty(0, dtype=dtype)
    if dtype == torch.bool:  # bits, eight to a byte
        return torch.from_numpy(array.to_numpy(zero_copy_only=False))
    buffer, size = array.buffers()[1], dtype.itemsize
    offset = array.offset * size
    as_numpy = np.dtype(str(dtype).removeprefix("torch.")).newbyteorder("<")
    if (buffer.address + offset) % size:
        data = bytearray(memoryview(buffer)[offset : offset + len(array) * size])
        return torch.from_numpy(np.frombuffer(data, as_numpy))
    return torch.from_numpy(np.asarray(_Memory(buffer, offset, len(array), as_numpy)))


def write_column(name: str, x: Tensor) -> Any:
    """A tensor (rows, ...) as a column of numbers, or of fixed-size lists of them.

    Raises `NotAcceptable` for dtypes that Arrow does not have.
    """
    array, rest = _flat_column(name, x), list(x.shape[1:])
    while rest:
        size = rest.pop()
        length = math.prod([len(x), *rest])
        array = pa.Array.from_buffers(pa.list_(array.type, size), length, [None], children=[array])
    return array


def write_whole(name: str, x: Tensor) -> Any:
    """A tensor of any shape as a column of one row. Raises `NotAcceptable`."""
    flat = _flat_column(name, x)
    kind = pa.fixed_shape_tensor(flat.type, list(x.shape))
    storage = pa.Array.from_buffers(kind.storage_type, 1, [None], children=[flat])
    return pa.ExtensionArray.from_storage(kind, storage)


def _flat_column(name: str, x: Tensor) -> Any:
    if x.dtype not in _TYPES:
        raise NotAcceptable(
            f"Arrow cannot carry {name}, which is {str(x.dtype).removeprefix('torch.')}",
            at="headers.accept",
            expected="another format, or gradient_dtype float16 or float32",
        )
    flat = x.detach().contiguous().reshape(-1).numpy()
    if x.dtype == torch.bool:
        return pa.array(flat)
    return pa.Array.from_buffers(_TYPES[x.dtype], len(flat), [None, pa.py_buffer(flat)])
