"""Pieces of a state, against arithmetic without rounding."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossd.audit.pieces import Counts, Sums
from lossd.audit.pieces.sums import MOST

NUMBERS = st.floats(-MOST, MOST) | st.floats(-1, 1) | st.floats(-1e-12, 1e-12)


@given(st.lists(NUMBERS, max_size=20))
def test_a_sum_is_exact_but_for_one_rounding_of_each_number(numbers: list[float]) -> None:
    sums = Sums(1)
    sums.add(np.array(numbers))
    off = sums.exactly()[0] - sum(map(Fraction, numbers))
    assert abs(off) <= Fraction(len(numbers), 2**65)


def test_many_numbers_are_added_as_one_by_one() -> None:
    random = np.random.default_rng(0)
    numbers = random.normal(size=40_000) * np.exp(random.normal(0, 20, 40_000))
    numbers[20_000:] = np.clip(numbers[20_000:], -6e4, 6e4)
    together, apart = Sums(1), Sums(1)
    together.add(numbers)
    apart.add(numbers, np.zeros(len(numbers), np.int64))
    assert together.limbs.tolist() == apart.limbs.tolist()


def test_sums_are_clamped_where_they_say() -> None:
    sums = Sums(2)
    sums.add(np.array([np.inf, -np.inf]), np.array([0, 1]))
    assert sums.values().tolist() == [MOST, -MOST]


def test_there_is_room_for_many_of_the_largest() -> None:
    sums = Sums(1)
    sums.add(np.full(100_000, np.inf))
    for _ in range(16):
        other = Sums(1)
        other.merge(sums)
        sums.merge(other)
    assert sums.values().tolist() == [100_000 * 2.0**16 * MOST]


@pytest.mark.parametrize("places", [3, 5_000])
def test_few_numbers_for_many_sums_are_added_alike(places: int) -> None:
    random = np.random.default_rng(0)
    numbers, where = random.normal(size=1_000), random.integers(0, places, 1_000)
    at_once, one_by_one = Sums(places), Sums(places)
    at_once.add(numbers, where)
    for i in range(len(numbers)):
        one_by_one.add(numbers[i : i + 1], where[i : i + 1])
    assert (at_once.limbs == one_by_one.limbs).all()
    expected = [sum(map(Fraction, numbers[where == i])) for i in range(places)]
    assert max(map(abs, map(Fraction.__sub__, at_once.exactly(), expected))) < Fraction(1, 2**50)


@pytest.mark.parametrize("size", [3, 10_000])
def test_counters_count(size: int) -> None:
    places = np.random.default_rng(0).integers(0, size, 500)
    counts = Counts(size)
    counts.add_at(places)
    counts.add_at(places[:7])
    expected = np.bincount(places, minlength=size) + np.bincount(places[:7], minlength=size)
    assert counts.values.tolist() == expected.tolist()
