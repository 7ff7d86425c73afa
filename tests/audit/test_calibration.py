"""Calibration against foreign values, and where counters of float32 fail."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.chunks import audited, outputs, some
from audit.reference_cases import at, cases_of, result_of
from lossd.audit import Audit, Setup, State, confidences
from lossd.audit import _confidence_kernel as kernel
from lossd.audit.metrics import METRICS
from lossd.audit.pieces import Counts, Sums

CASES = cases_of("calibration")
GRIDS = (5, 10, 15, 20, 25, 30, 40, 50, 100)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["from"][:60])
def test_values_are_those_of_other_libraries(case: dict[str, Any]) -> None:
    result = result_of("calibration", case, calibration_bins=20)
    for path, expected in case["expected"].items():
        if path != "intervals":
            assert at(result, path) == pytest.approx(expected, abs=1e-9), path


@pytest.mark.parametrize("case", CASES[:-1], ids=lambda case: case["from"][:60])
def test_bins_are_those_of_other_libraries(case: dict[str, Any]) -> None:
    bins = result_of("calibration", case)["bins"]
    expected = case["expected"]["intervals"]
    assert [i for i, each in enumerate(bins) if each["count"]] == [row[0] for row in expected]
    for i, count, confidence, low, high in expected:
        assert bins[i]["count"] == count
        assert bins[i]["confidence"] == pytest.approx(confidence, abs=1e-9)
        assert bins[i]["interval"] == pytest.approx([low, high], abs=1e-9)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["from"][:60])
def test_the_brier_score_is_the_sum_of_its_parts(case: dict[str, Any]) -> None:
    brier = result_of("calibration", case)["brier"]
    parts = brier["miscalibration"] - brier["discrimination"] + brier["uncertainty"]
    assert brier["value"] == pytest.approx(parts, abs=1e-12)


def test_the_interval_of_the_brier_score_is_that_of_a_mean() -> None:
    fields = calibrated(500, 1.0)
    z = fields["scores"].astype(np.float64)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    each = ((p - np.eye(5)[fields["labels"]]) ** 2).sum(1)
    half = 1.959963984540054 * each.std(ddof=1) / math.sqrt(500)
    brier = _finished(audited(Setup(metrics=("calibration",)), fields).state())["brier"]
    assert brier["interval"] == pytest.approx([each.mean() - half, each.mean() + half], abs=1e-9)


def constant(rows: int, confidence: float, accuracy: float) -> dict[str, Any]:
    """Two classes, one confidence."""
    scores = np.tile(np.array([confidence, 1 - confidence]), (rows, 1))
    labels = (np.arange(rows) >= round(rows * accuracy)).astype(np.int64)
    return {"scores": scores, "labels": labels}


@pytest.mark.parametrize("doublings", [0, 6, 10, 20])
def test_a_constant_score_has_its_error_at_any_number_of_rows(doublings: int) -> None:
    setup = Setup(metrics=("calibration",), scores="probabilities")
    state = audited(setup, constant(100_000, 0.9, 0.6)).state()
    for _ in range(doublings):
        state.merge(state)
    with Audit(setup) as audit:
        audit.merge(state)
        report = audit.report()
    assert report.rows == 100_000 * 2**doublings
    result = report.results["calibration"]
    for name in ("equal_width_15", "equal_mass_15", "classwise", "maximum"):
        assert result["ece"][name] == pytest.approx(0.3, abs=1e-12), name
    assert result["brier"]["value"] == pytest.approx(0.6 * 0.02 + 0.4 * 1.62, abs=1e-12)
    assert result["gap"]["value"] == pytest.approx(0.3, abs=1e-12)
    assert sum(each["count"] for each in result["bins"]) == report.rows


def test_twenty_million_rows_are_counted_one_by_one() -> None:
    rows = 20_000_000  # where a counter of float32 has stopped
    confidence, correct = np.full(rows, 0.9), np.zeros(rows, np.bool_)
    correct[: rows * 6 // 10] = True
    counts, sums, squares = Counts(2, kernel.BINS), Sums(kernel.BINS), Sums(1)
    kernel.add_confidences(confidence, correct, counts.values, sums.limbs, squares.limbs)
    pieces = {"counts": counts, "sums": sums, "squares": squares}
    bins = confidences.equal_width(pieces, 15)
    assert bins.count[13] == rows and bins.correct[13] == rows * 6 // 10
    assert bins.gaps[13] == pytest.approx(0.3, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_fine_bins_collapse_to_bins_of_equal_width(numbers: list[float]) -> None:
    confidence = np.array(numbers)
    pieces: Any = confidences.empty()
    kernel.add_confidences(
        confidence,
        np.zeros(len(confidence), np.bool_),
        pieces["counts"].values,
        pieces["sums"].limbs,
        pieces["squares"].limbs,
    )
    for bins in GRIDS:
        found = confidences.equal_width(pieces, bins)
        assert found.count.sum() == len(confidence)
        edges = np.arange(bins + 1) / bins
        for i, (count, total) in enumerate(zip(found.count, found.confidence, strict=True)):
            assert edges[i] * count - 1e-12 <= total <= edges[i + 1] * count + 1e-12


@pytest.mark.parametrize(("confidence", "place"), [(1.0, 14), (0.2, 2), (0.6, 8), (0.5, 7)])
def test_an_upper_edge_belongs_to_its_bin(confidence: float, place: int) -> None:
    scores = [[confidence, *[(1 - confidence) / 5] * 5]]
    case = {"scores": "probabilities", "rows": scores, "labels": [0]}
    bins = result_of("calibration", case)["bins"]
    assert [i for i, each in enumerate(bins) if each["count"]] == [place]


def test_bins_of_equal_mass_tell_confidences_near_1_apart() -> None:
    random = np.random.default_rng(0)
    away = np.exp(-random.uniform(3, 30, 15_000))
    pieces: Any = confidences.empty()
    limbs = pieces["sums"].limbs, pieces["squares"].limbs
    right = random.random(len(away)) > away
    kernel.add_confidences(1 - away, right, pieces["counts"].values, *limbs)
    found = confidences.equal_mass(pieces, 15).count
    assert len(found) == 15 and found.min() > 900 and found.max() < 1100


@pytest.mark.parametrize("classes", [3, 200, 1200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cuts_and_threads_leave_no_trace_in_class_bins(classes: int, dtype: Any) -> None:
    setup = Setup(metrics=("calibration",))
    fields = outputs(600, classes)
    fields["scores"] = fields["scores"].astype(dtype)
    order = np.random.default_rng(0).permutation(600)
    parts = [some(fields, np.arange(600)[part]) for part in np.array_split(order, 7)]
    for each, ids in zip(parts, np.array_split(order, 7), strict=True):
        each["first_row"] = int(ids[0])
    whole = audited(setup, fields).state().save()
    assert audited(setup, *parts).state().save() == whole
    assert audited(setup, fields, threads=3).state().save() == whole


def test_beyond_dense_classes_what_is_by_class_is_undefined_and_said() -> None:
    fields = outputs(50, 12)
    with Audit(metrics=("calibration",), dense_classes=11) as audit:
        audit.add(**fields)
        result = audit.report().results["calibration"]
    assert result["ece"]["classwise"] is None and result["most_classes"] == 11
    assert result["brier"]["value"] is not None and result["brier"]["uncertainty"] is None


def calibrated(rows: int, heat: float, seed: int = 0) -> dict[str, Any]:
    """Logits whose labels are drawn from their softmax, then heated."""
    random = np.random.default_rng(seed)
    z = 2 * random.normal(size=(rows, 5))
    labels = (z + random.gumbel(size=z.shape)).argmax(1)
    return {"scores": (heat * z).astype(np.float32), "labels": labels}


def codes(fields: dict[str, Any], metric: str = "calibration", **options: Any) -> list[str]:
    with Audit(metrics=(metric,), **options) as audit:
        audit.add(**fields)
        return [each.code for each in audit.report().findings]


@pytest.mark.parametrize("rows", [1, 2, 20, 300, 5_000, 200_000])
def test_a_calibrated_model_has_no_finding(rows: int) -> None:
    for seed in range(5):
        assert codes(calibrated(rows, 1.0, seed)) == []


def test_too_much_and_too_little_confidence_are_found() -> None:
    assert codes(calibrated(5_000, 2.0)) == ["overconfident"]
    assert codes(calibrated(5_000, 0.4)) == ["underconfident"]


def test_errors_in_both_directions_are_found() -> None:
    one, other = constant(5_000, 0.9, 0.75), constant(5_000, 0.6, 0.75)
    both = {key: np.concatenate([one[key], other[key]]) for key in one}
    assert codes(both, scores="probabilities") == ["miscalibrated"]


def test_the_error_by_chance_is_that_of_calibrated_models() -> None:
    found = []
    for seed in range(200):
        state = audited(Setup(metrics=("calibration",)), calibrated(200, 1.0, seed)).state()
        found.append(_finished(state))
    errors = np.array([each["ece"]["equal_width_15"] for each in found])
    means = np.array([each["ece_by_chance"]["mean"] for each in found])
    spreads = np.array([each["ece_by_chance"]["standard_deviation"] for each in found])
    assert means.mean() == pytest.approx(errors.mean(), rel=0.1)
    assert spreads.mean() == pytest.approx(errors.std(), rel=0.25)


def _finished(state: State) -> Any:
    with Audit(state.setup) as audit:
        audit.merge(state)
        return audit.report().results["calibration"]


def test_scores_that_are_no_probabilities_are_counted() -> None:
    case = {"scores": "probabilities", "rows": [[1.5, -0.5], [0.5, 0.5]], "labels": [0, 1]}
    result = result_of("calibration", case)
    assert result["outside"] == 1 and math.isfinite(result["mean_confidence"])


def test_it_is_a_default_metric() -> None:
    assert METRICS["calibration"].default
