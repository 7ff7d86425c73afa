"""The exponential of the kernels, against one of any precision."""

from typing import Any

import numpy as np
from mpmath import mp, mpf

from lossd.audit._exponential import exp_of_negative
from lossd.compiled import compiled


@compiled("void(float64[::1], float64[::1])")
def exponentials(x: Any, found: Any) -> None:
    for i in range(x.size):
        found[i] = exp_of_negative(x[i])


def test_it_is_off_by_two_units_of_its_last_digit_at_most() -> None:
    random = np.random.default_rng(0)
    x = np.concatenate([-np.exp(random.uniform(-40, 6.56, 3_000)), [0.0, 1e-16, -708.0]])
    found = np.empty_like(x)
    exponentials(x, found)
    with mp.workprec(120):
        exact = [mp.exp(mpf(float(each))) for each in x]
        off = [abs(mpf(float(a)) / b - 1) for a, b in zip(found, exact, strict=True)]
    assert max(off) < 2 * 2.0**-52


def test_what_is_far_below_is_0() -> None:
    x = np.array([-708.1, -1e5, -1e300, -np.inf])
    found = np.ones_like(x)
    exponentials(x, found)
    assert not found.any()
