"""Whether floats are finite, and what is left of them in float32: in one pass, without warnings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

try:
    from lossd.compiled import compiled
except ModuleNotFoundError:  # there are no wheels of numba for the newest Pythons

    def are_finite(x: Floats) -> bool:
        """Whether no element is NaN or infinite."""
        return bool(np.isfinite(x).all())

    def narrow(x: Floats, into: NDArray[np.float32]) -> bool:
        """Round float64 to float32; whether every finite number stayed one."""
        with np.errstate(over="ignore"):
            into[...] = x
        return bool((np.isfinite(into) == np.isfinite(x)).all())

else:

    def are_finite(x: Floats) -> bool:
        """Whether no element is NaN or infinite."""
        if x.dtype == np.float32:
            return bool(_finite_float32(_flat(x)))
        if x.dtype == np.float64:
            return bool(_finite_float64(_flat(x)))
        return bool(np.isfinite(x).all())

    def narrow(x: Floats, into: NDArray[np.float32]) -> bool:
        """Round float64 to float32; whether every finite number stayed one."""
        return bool(_narrow(_flat(x), into.reshape(-1)))

    def _flat(x: Floats) -> Floats:
        flat = x if x.ndim == 1 else x.reshape(-1)
        return flat if flat.flags.writeable and flat.flags.c_contiguous else flat.copy()

    @compiled("boolean(float32[::1])")
    def _finite_float32(x: Any) -> bool:
        largest = np.uint32(0)
        for bits in x.view(np.uint32):
            size = bits & np.uint32(0x7FFFFFFF)
            largest = max(largest, size)
        return bool(largest < np.uint32(0x7F800000))

    @compiled("boolean(float64[::1])")
    def _finite_float64(x: Any) -> bool:
        largest = np.uint64(0)
        for bits in x.view(np.uint64):
            size = bits & np.uint64(0x7FFFFFFFFFFFFFFF)
            largest = max(largest, size)
        return bool(largest < np.uint64(0x7FF0000000000000))

    @compiled("boolean(float64[::1], float32[::1])")
    def _narrow(x: Any, into: Any) -> bool:
        lost = False
        for i in range(x.size):
            rounded = np.float32(x[i])
            into[i] = rounded
            lost |= np.isinf(rounded) & (not np.isinf(x[i]))
        return not lost
