"""Differences and distances against statsmodels, scipy and simulation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossd.audit.buckets import Buckets
from lossd.audit.comparing import differences, drift
from lossd.audit.intervals import of_mean

CASES = json.loads((Path(__file__).parent / "cases/comparison.json").read_text())


def cases(what: str) -> list[Any]:
    return [pytest.param(each, id=str(each["of"])) for each in CASES if each["what"] == what]


def samples(case: dict[str, Any]) -> tuple[Any, Any]:
    """As the references drew them."""
    seed, n, m = case["of"]
    random = np.random.default_rng(seed)
    return random.gamma(0.7, 1.0, n), random.gamma(0.8, 1.1, m)


@pytest.mark.parametrize("case", cases("mid_p"))
def test_the_paired_test_of_shares(case: dict[str, Any]) -> None:
    b, c = case["of"]
    assert differences.mid_p(b, c) == pytest.approx(case["value"], rel=1e-9)
    assert differences.mid_p(c, b) == differences.mid_p(b, c)


@pytest.mark.parametrize("case", cases("shares"))
def test_the_interval_of_a_difference_of_shares(case: dict[str, Any]) -> None:
    found = differences.of_shares(*case["of"])
    assert found is not None and found.interval is not None
    got = [*found.interval, found.effect_size]
    assert got == pytest.approx(case["value"], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("case", cases("means"))
def test_the_interval_of_a_difference_of_means(case: dict[str, Any]) -> None:
    x, y = samples(case)
    around = [of_mean(each.mean(), each.var(ddof=1), len(each)) for each in (x, y)]
    assert around[0] is not None and around[1] is not None
    found = differences.of_means(x.mean(), around[0], len(x), y.mean(), around[1], len(y))
    assert found.interval == pytest.approx(case["value"], rel=1e-9)


@pytest.mark.parametrize("case", cases("paired"))
def test_the_interval_and_power_of_a_paired_difference(case: dict[str, Any]) -> None:
    x, y = samples(case)
    n = min(len(x), len(y))
    found = differences.of_paired_numbers(x[:n], y[:n])
    assert found is not None and found.interval is not None
    assert found.interval == pytest.approx(case["value"][:2], rel=1e-9)
    assert found.minimum_detectable == pytest.approx(case["value"][2], rel=1e-4)


@pytest.mark.parametrize("case", cases("distances"))
def test_distances_of_histograms_are_those_of_the_numbers(case: dict[str, Any]) -> None:
    x, y = samples(case)
    found = drift.distances(filled(x), filled(y))
    assert found is not None
    ks, moved = case["value"]
    assert found["ks"] <= ks + 1e-12
    assert found["ks"] + found["ks_error"] >= ks
    scale = np.abs(x).mean() + np.abs(y).mean()
    assert found["wasserstein"] == pytest.approx(moved, abs=found["value_error"] * scale)


def filled(numbers: Any, *, signed: bool = False) -> Buckets:
    found = Buckets(signed=signed)
    found.add(numbers)
    return found


def test_equal_distributions_seldom_exceed_what_chance_makes_of_the_index() -> None:
    random = np.random.default_rng(5)
    beyond = 0
    for _ in range(200):
        found = drift.distances(
            filled(random.gamma(0.7, 1, 400)), filled(random.gamma(0.7, 1, 300))
        )
        assert found is not None
        beyond += found["psi"] > found["psi_by_chance"]
    assert beyond <= 22


def test_a_moved_distribution_exceeds_it() -> None:
    random = np.random.default_rng(6)
    found = drift.distances(filled(random.gamma(0.7, 1, 400)), filled(random.gamma(2.0, 1, 300)))
    assert found is not None and found["psi"] > 5 * found["psi_by_chance"]


@pytest.mark.parametrize("numbers", [[], [np.inf, np.inf]])
def test_nothing_has_no_distance(numbers: list[float]) -> None:
    assert drift.distances(filled(np.array(numbers, float)), filled(np.ones(3))) is None


def test_the_paired_interval_of_shares_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    truth = np.array([0.80, 0.06, 0.04, 0.10])  # both right, baseline only, candidate only, none
    held = 0
    for row in random.multinomial(150, truth, 2_000).tolist():
        found = differences.of_paired_shares(*row)
        assert found is not None and found.interval is not None
        held += found.interval[0] <= truth[2] - truth[1] <= found.interval[1]
    assert 0.94 <= held / 2_000 <= 0.975


def test_rows_that_do_not_differ_leave_room_for_chance_in_shares_and_none_in_means() -> None:
    shares = differences.of_paired_shares(90, 0, 0, 10)
    assert shares is not None and shares.interval is not None
    assert shares.difference == 0 and shares.interval[0] < 0 < shares.interval[1]
    same = np.linspace(0, 1, 10)
    means = differences.of_paired_numbers(same, same)
    assert means is not None and means.interval == (0, 0) and means.effect_size is None


def test_numbers_too_large_to_subtract_have_no_difference() -> None:
    huge = np.array([1.7e308, -1.7e308, 1.0])
    assert differences.of_paired_numbers(huge, -huge) is None
    assert differences.of_paired_numbers(huge[:1], huge[:1]) is None
