"""Whatever holds numbers, to the name of its dtype, its shape and its little-endian bytes."""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NOT_IN_NUMPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")  # but in torch, and in ml_dtypes
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
    if array.dtype.name in _NOT_IN_NUMPY:
        return Packed(array.dtype.name, list(array.shape), np.ascontiguousarray(array))
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{name}: expected numbers, got dtype {array.dtype}")
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return Packed(array.dtype.name, list(array.shape), native)


def as_real(name: str, value: ArrayLike) -> NDArray[Any]:
    """An array-like's numbers, whatever holds them: float64 as such, all other reals as float32."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        plain = value.detach().cpu()
        small = plain.is_floating_point() and plain.dtype != torch.float64
        return np.asarray((plain.float() if small else plain).numpy())
    array = _as_numpy(name, value)
    small = array.dtype != np.float64 and array.dtype.kind not in "iub"
    return array.astype(np.float32) if small else array


def _pack_torch(torch: Any, tensor: Any) -> Packed:
    plain = tensor.detach().cpu().contiguous()
    dtype = str(plain.dtype).removeprefix("torch.")
    if dtype in _NOT_IN_NUMPY:  # the bytes do not care
        plain = plain.view(torch.int8 if plain.itemsize == 1 else torch.int16)
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
