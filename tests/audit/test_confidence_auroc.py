"""How well confidence tells right rows, against scikit-learn."""

from typing import Any

import numpy as np
import pytest

from audit.chunks import outputs
from audit.reference_cases import cases_of, result_of
from lossd.audit import Audit

CASES = cases_of("confidence_auroc")


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_scikit_learns_values_are_within_the_error(case: dict[str, Any]) -> None:
    result = result_of("confidence_auroc", case)
    for name, expected in case["expected"].items():
        found = result[name]
        assert abs(found["value"] - expected) <= found["error"] + 1e-12, name
        assert found["error"] < 0.05


def test_of_rows_that_no_bin_holds_two_of_the_values_are_exact() -> None:
    exact = 0
    for case in CASES:
        result = result_of("confidence_auroc", case)
        for name, expected in case["expected"].items():
            if result[name]["error"] < 1e-12:
                assert result[name]["value"] == pytest.approx(expected, abs=1e-12)
                exact += 1
    assert exact > 3


def audit_of(right: Any, confidence: Any) -> Any:
    scores = np.stack([confidence, 1 - confidence], axis=1)
    with Audit(metrics=("confidence_auroc",), scores="probabilities") as audit:
        audit.add(scores, np.where(right, 0, 1))
        return audit.report()


def test_coverage_takes_the_most_confident_rows() -> None:
    confidence = np.linspace(0.51, 0.99, 100)
    result = audit_of(confidence > 0.7, confidence).results["confidence_auroc"]
    half = result["accuracy_at_coverage"][0]
    assert half == {"asked": 0.5, "coverage": 0.5, "accuracy": 1.0}
    assert result["auroc"]["value"] == 1.0
    assert result["right"] + result["wrong"] == 100


def test_confidence_that_tells_nothing_is_found() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 20_000)
    report = audit_of(random.random(20_000) < 0.8, confidence)
    assert [each.code for each in report.findings] == ["blind_confidence"]
    assert not audit_of(random.random(20_000) < confidence, confidence).findings


def test_without_a_wrong_row_nothing_is_defined() -> None:
    with Audit(metrics=("confidence_auroc",)) as audit:
        fields = outputs(30, 3)
        audit.add(fields["scores"], fields["scores"].argmax(1))
        result = audit.report().results["confidence_auroc"]
    assert result["auroc"]["value"] is None
    assert result["average_precision_of_errors"]["value"] is None
    assert result["average_precision"]["value"] == pytest.approx(1.0)
