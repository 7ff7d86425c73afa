"""numpy arrays to Arrow columns and back: axis 0 is rows, each further axis a level of lists.

Imported only where streams are used: pyarrow is the extra `arrow`.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lossd_client._arrays import pack

_NOT_IN_ARROW = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def batch_of(columns: Mapping[str, Any], place: str, schema: Any = None) -> Any:
    """A record batch of arrays, lists or Arrow arrays, all of one length.

    With a `schema` its columns come in that order; an array keeps its own dtype all the same.
    Raises `TypeError` or `ValueError` that start with the place, as in `batches[3].labels`.
    """
    if schema is not None and set(schema.names) != set(columns):
        found = ", ".join(map(str, columns))
        raise ValueError(f"{place}: expected the columns {', '.join(schema.names)}, got {found}")
    names = list(columns) if schema is None else schema.names
    kinds = [None] * len(names) if schema is None else schema.types
    arrays = [
        _column(f"{place}.{name}", columns[name], kind)
        for name, kind in zip(names, kinds, strict=True)
    ]
    lengths = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{place}: expected columns of one length, got {lengths}")
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _column(place: str, value: Any, kind: Any) -> Any:
    if isinstance(value, pa.ChunkedArray):
        return value.combine_chunks()
    if isinstance(value, pa.Array):
        return value
    is_array = isinstance(value, np.ndarray) or hasattr(value, "__dlpack__")
    if is_array and not (isinstance(value, np.ndarray) and value.dtype.kind in "OSUMm"):
        return _numbers(place, value)
    try:
        return pa.array(value, kind)
    except (pa.ArrowException, TypeError, ValueError) as err:
        raise TypeError(f"{place}: expected a column: {err}"[:300]) from err


def _numbers(place: str, value: Any) -> Any:
    """An array of numbers, over its own memory where it is contiguous."""
    packed = pack(place, value)
    if packed.dtype in _NOT_IN_ARROW:
        raise TypeError(f"{place}: Arrow has no {packed.dtype}; convert it to float32 or float16")
    if not packed.shape:
        raise TypeError(f"{place}: expected rows, got one number")
    flat = packed.buffer.reshape(-1)
    if packed.dtype == "bool":
        array = pa.array(flat)
    else:
        kind = pa.from_numpy_dtype(flat.dtype)
        array = pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(flat)])
    rest = packed.shape[1:]
    while rest:
        size = rest.pop()
        length = math.prod([packed.shape[0], *rest])
        array = pa.Array.from_buffers(pa.list_(array.type, size), length, [None], children=[array])
    return array


def to_numpy(array: Any) -> NDArray[Any]:
    """A column as an array (rows, ...); a view of its memory, read-only, wherever that is possible.

    Fixed-size lists become further axes. Anything that is no number without nulls becomes what
    pyarrow makes of it: nulls of numbers NaN, text and lists objects.
    """
    shape, inner = [len(array)], array
    while pa.types.is_fixed_size_list(inner.type) and not inner.null_count:
        shape.append(inner.type.list_size)
        inner = inner.flatten()
    if inner.null_count or pa.types.is_fixed_size_list(inner.type):
        shape, inner = [len(array)], array
    flat = inner.to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(shape)


def empty_batch(schema: Any) -> Any:
    """A batch of no rows."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, kind) for kind in schema.types], schema=schema)
