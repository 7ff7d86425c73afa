"""The best temperature, against a minimiser that sees all rows at once."""

from typing import Any

import numpy as np
import pytest

from audit.reference_cases import cases_of, result_of
from lossd.audit import Audit

CASES = cases_of("temperature")


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_it_is_where_scipy_finds_the_least_loss(case: dict[str, Any]) -> None:
    result, expected = result_of("temperature", case), case["expected"]
    assert result["temperature"] == pytest.approx(expected["temperature"], rel=1e-4)
    assert result["loss_after"] == pytest.approx(expected["loss_after"], rel=1e-6)
    assert result["loss_before"] == pytest.approx(expected["loss_before"], rel=1e-12)
    off = abs(result["temperature"] - expected["temperature"])
    assert off <= result["interpolation_error"] + 1e-7


def heated(rows: int, heat: float, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    z = 2 * random.normal(size=(rows, 4))
    return (heat * z).astype(np.float32), (z + random.gumbel(size=z.shape)).argmax(1)


def report_of(z: Any, labels: Any, metric: str = "temperature", **options: Any) -> Any:
    with Audit(metrics=(metric,), **options) as audit:
        audit.add(z, labels)
        return audit.report()


def test_the_interval_holds_the_true_temperature_19_times_in_20() -> None:
    held = 0
    for seed in range(100):
        result = report_of(*heated(300, 1.5, seed)).results["temperature"]
        low, high = result["interval"]
        held += low <= 1.5 <= high
    assert 88 <= held <= 99


def test_the_curve_has_the_calibration_error_of_cooled_logits() -> None:
    scores, labels = heated(2_000, 2.0)
    curve = report_of(scores, labels).results["temperature"]["curve"]
    temperatures = [each["temperature"] for each in curve]
    assert temperatures == sorted(temperatures) and 1.0 in temperatures
    for place in (0, 9, 12, 15, 24):
        cooled = scores.astype(np.float64) / curve[place]["temperature"]
        result = report_of(cooled, labels, "calibration").results["calibration"]
        assert curve[place]["ece"] == pytest.approx(result["ece"]["equal_width_15"], abs=1e-9)


def test_a_temperature_that_would_help_is_found_and_one_of_1_is_not() -> None:
    assert [each.code for each in report_of(*heated(4_000, 2.0)).findings] == ["temperature"]
    for seed in range(5):
        assert not report_of(*heated(4_000, 1.0, seed)).findings


def test_where_there_is_no_best_one_it_says_why() -> None:
    scores, labels = heated(50, 1.0)
    sure = report_of(scores, scores.argmax(1)).results["temperature"]
    assert sure["temperature"] is None and "below 0.0625" in sure["reason"]
    lost = report_of(scores, scores.argmin(1)).results["temperature"]
    assert lost["temperature"] is None and "above 16" in lost["reason"]
    flat = report_of(0 * scores, labels).results["temperature"]
    assert flat["temperature"] is None and "all the same" in flat["reason"]
    shut = np.where(np.arange(4) == labels[:, None], -np.inf, scores)
    assert "probability 0" in report_of(shut, labels).results["temperature"]["reason"]
    p = np.full((50, 4), 0.25)
    given = report_of(p, labels, scores="probabilities").results["temperature"]
    assert "probabilities" in given["reason"]


def test_rows_whose_label_is_impossible_are_left_out_and_counted() -> None:
    scores, labels = heated(500, 1.5)
    whole = report_of(scores, labels).results["temperature"]
    lost = [[-np.inf, 0, 0, 0], [-1e30, 0, 0, 0]]
    shut = np.concatenate([scores, lost]).astype(np.float32)
    more = report_of(shut, np.concatenate([labels, [0, 0]])).results["temperature"]
    assert more["left_out"] == 2 and more["temperature"] == whole["temperature"]
