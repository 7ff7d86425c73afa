"""Tensors as the arrays that kernels read and write."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Numba has no half precision: float16 travels as its bits in uint16, bfloat16 in int16.
_BITS: dict[torch.dtype, tuple[torch.dtype, type[np.generic]]] = {
    torch.float16: (torch.uint16, np.uint16),
    torch.bfloat16: (torch.int16, np.int16),
}
_TORCH_OF_BITS = {np.dtype(np.uint16): torch.float16, np.dtype(np.int16): torch.bfloat16}
_FLOAT32 = np.dtype(np.float32)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def as_array(x: Tensor) -> NDArray[Any]:
    """A contiguous array of the same memory; of half precision, its bits."""
    if x.dtype in _BITS:
        x = x.contiguous().view(_BITS[x.dtype][0])
    return x.contiguous().numpy()


def dtype_of_array(dtype: torch.dtype) -> np.dtype[Any]:
    """The dtype of the array that stands for a tensor of float32 or half precision."""
    return np.dtype(_BITS[dtype][1]) if dtype in _BITS else _FLOAT32


def as_tensor(x: NDArray[Any]) -> Tensor:
    """The tensor that such an array stands for."""
    half = _TORCH_OF_BITS.get(x.dtype)
    return torch.from_numpy(x) if half is None else torch.from_numpy(x).view(half)
