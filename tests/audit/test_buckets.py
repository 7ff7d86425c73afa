"""Buckets against numpy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lossd.audit.buckets import VALUE_ERROR, Buckets

random = np.random.default_rng(3)
SAMPLES = {
    "losses": random.gamma(0.3, 2.0, 50_000),
    "wide": np.exp(random.normal(0, 8, 50_000)),
    "margins": np.tanh(random.normal(0.5, 1, 50_000)),
    "one": np.full(100, 1 / 3),
    "zeros": np.zeros(10),
    "ones": np.ones(10),
    "tiny": random.normal(size=1000) * 1e-20,
    "huge": random.normal(size=1000) * 1e300,
    "edges": np.arange(-64, 65) / 64,
}


def buckets_of(x: NDArray[np.float64], *, signed: bool) -> Buckets:
    found = Buckets(signed=signed)
    found.add(x)
    return found


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("signed", [False, True])
def test_quantiles_are_as_near_as_they_say(name: str, signed: bool) -> None:
    x = SAMPLES[name] if signed else np.abs(SAMPLES[name])
    x = x[np.abs(x) < 2**40] if name == "wide" else x
    found = buckets_of(x, signed=signed)
    for share in (0.001, 0.01, 0.3, 0.5, 0.77, 0.99, 1.0):
        exact = np.quantile(x, share, method="inverted_cdf")
        near = found.quantile(share)
        if name != "huge":
            assert near is not None
            assert abs(near - exact) <= VALUE_ERROR * abs(exact) + 2.0**-40
    assert (found.minimum, found.maximum, found.total) == (x.min(), x.max(), len(x))


@pytest.mark.parametrize("name", [x for x in SAMPLES if x not in ("wide", "tiny", "huge")])
@pytest.mark.parametrize("signed", [False, True])
def test_bins_hold_what_numpy_finds_between_their_edges(name: str, signed: bool) -> None:
    x = SAMPLES[name] if signed else np.abs(SAMPLES[name])
    found = buckets_of(x, signed=signed).histogram()
    assert 1 <= len(found["counts"]) <= 66
    above = x[x >= 0]
    edges = np.array([each for each in found["edges"] if each >= 0])
    expected = np.histogram(above, edges)[0]
    assert found["counts"][len(found["counts"]) - len(expected) :] == expected.tolist()
    assert sum(found["counts"]) == len(x)
    # Below 0, as above: a number on an edge goes outward.
    mirrored = np.histogram(-x[x < 0], [-each for each in found["edges"] if each <= 0][::-1])[0]
    assert found["counts"][: len(mirrored)] == mirrored[::-1].tolist()


@pytest.mark.parametrize("name", SAMPLES)
def test_bins_hold_all_numbers(name: str) -> None:
    found = buckets_of(SAMPLES[name], signed=True).histogram()
    edges = found["edges"]
    assert sum(found["counts"]) == len(SAMPLES[name])
    assert edges == sorted(set(edges))
    assert edges[0] <= SAMPLES[name].min()
    assert edges[-1] >= SAMPLES[name].max()


@given(st.floats(allow_nan=False), st.booleans())
def test_a_number_lies_in_its_bucket(x: float, signed: bool) -> None:
    found = buckets_of(np.array([x]), signed=signed)
    place = int(np.flatnonzero(found.counts)[0])
    within = x if signed else max(x, 0.0)
    assert found.lows[place] <= within <= found.highs[place]
    assert found.infinite == math.isinf(within)


def test_edges_follow_each_other() -> None:
    for signed in (False, True):
        found = Buckets(signed=signed)
        assert (found.highs[:-1] == found.lows[1:]).all()


def test_the_infinite_are_counted_and_have_no_quantile() -> None:
    found = buckets_of(np.array([1.0, math.inf, math.inf]), signed=False)
    assert (found.infinite, found.maximum) == (2, 1.0)
    assert found.quantile(0.9) is None
    assert sum(found.histogram()["counts"]) == 1
    assert buckets_of(np.array([math.inf]), signed=False).histogram()["counts"] == []
    assert Buckets().quantiles((0.5,)) == {"0.5": None}


def test_merging_is_adding_and_zeros_have_no_sign() -> None:
    x = SAMPLES["margins"]
    whole, parts = buckets_of(x, signed=True), buckets_of(x[:17], signed=True)
    parts.merge(buckets_of(x[17:], signed=True))
    assert (parts.counts == whole.counts).all()
    assert (parts.minimum, parts.maximum) == (whole.minimum, whole.maximum)
    one, other = (buckets_of(np.array([each]), signed=True) for each in (0.0, -0.0))
    assert one.arrays()["ends"].tobytes() == other.arrays()["ends"].tobytes()
    assert (one.counts == other.counts).all()


def test_it_comes_back_from_its_arrays_and_nothing_else_does() -> None:
    whole = buckets_of(SAMPLES["losses"], signed=False)
    back = Buckets()
    back.restore(whole.arrays())
    assert back.quantiles() == whole.quantiles()
    for wrong in (
        {"counts": whole.counts - 1},
        {"counts": whole.counts[1:]},
        {"ends": np.array([math.nan, 1.0])},
        {"ends": np.zeros(3)},
    ):
        with pytest.raises(ValueError, match="not"):
            Buckets().restore({**whole.arrays(), **wrong})
