"""Sums in fixed point."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossd.audit.pieces import Sums

MOST = 2.0**80
NUMBERS = st.lists(st.floats(-MOST, MOST), max_size=20)


@given(NUMBERS)
def test_a_number_is_rounded_once_whatever_its_sign(numbers: list[float]) -> None:
    sums = Sums(1)
    sums.add(np.array(numbers))
    expected = sum((Fraction(round(Fraction(x) * 2**64), 2**64) for x in numbers), Fraction(0))
    assert sums.exactly() == [expected]


@pytest.mark.parametrize("x", [1e-3, -1e-3, 2.0**-28, -(2.0**-28), -1.0, 0.0, -123456.789])
def test_what_is_taken_away_is_gone(x: float) -> None:
    sums = Sums(1)
    sums.add(np.array([x, -x, x, -x]))
    assert not sums.limbs.any()
