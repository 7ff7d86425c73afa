"""Whatever holds numbers, to the name of its dtype, its shape and its little-endian bytes."""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ArrayLike = Any  # numpy, torch, anything with __dlpack__ or __array__, nested lists, a number


@dataclass(frozen=True, slots=True)
class Packed:
    """A tensor as safetensors wants it: `buffer` holds its little-endian bytes, contiguous."""

    dtype: str
    shape: list[int]
    buffer: NDArray[Any]


def pack(name: str, value: ArrayLike) -> Packed:
    """Read an array-like. Lists of integers become int64; of any other numbers, float32.

    Raises `TypeError`, naming the input, for what holds no numbers.
    """
    torch = sys.modules.get("torch")  # a torch tensor can only come from a loaded torch
    if torch is not None and isinstance(value, torch.Tensor):
        return _pack_torch(torch, value)
    array = _as_numpy(name, value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{name}: expected numbers, got dtype {array.dtype}")
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return Packed(array.dtype.name, list(array.shape), native)


def _pack_torch(torch: Any, tensor: Any) -> Packed:
    plain = tensor.detach().cpu().contiguous()
    dtype = str(plain.dtype).removeprefix("torch.")
    if plain.dtype == torch.bfloat16:  # numpy has no such dtype; the bytes do not care
        plain = plain.view(torch.int16)
    return Packed(dtype, list(plain.shape), plain.numpy())


def _as_numpy(name: str, value: ArrayLike) -> NDArray[Any]:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    if hasattr(value, "__array__"):
        return np.asarray(value)
    try:
        array = np.array(value)
    except ValueError as err:
        raise TypeError(f"{name}: expected a rectangular array of numbers: {err}") from err
    if array.dtype.kind == "f" or array.size == 0:
        return array.astype(np.float32)
    return array
