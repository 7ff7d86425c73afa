"""Finite or not, and what is left in float32: against numpy's own checks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from lossd.floats import are_finite, narrow


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_finite_is_what_numpy_says(dtype: type) -> None:
    @given(arrays(dtype, (2, 3)))
    def agrees(x: np.ndarray) -> None:
        assert are_finite(x) == np.isfinite(x).all()
        read_only = x.copy()
        read_only.flags.writeable = False
        assert are_finite(read_only) == are_finite(x)

    agrees()


@given(arrays(np.float64, 5))
def test_float32_is_rounded_as_numpy_rounds_and_says_what_it_lost(x: np.ndarray) -> None:
    into = np.empty(5, np.float32)
    kept = narrow(x, into)
    with np.errstate(over="ignore"):
        want = x.astype(np.float32)
    np.testing.assert_array_equal(into, want)
    assert kept == (np.isfinite(want) == np.isfinite(x)).all()


def test_nothing_is_finite_and_fits() -> None:
    assert are_finite(np.empty((0, 3), np.float32)) and narrow(np.empty(0), np.empty(0, np.float32))
