"""Energy and the largest score."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from audit.chunks import outputs
from lossd.audit import Audit


def report_of(fields: dict[str, Any], **options: Any) -> Any:
    with Audit(metrics=("out_of_distribution",), **options) as audit:
        audit.add(**fields)
        return audit.report()


def test_quantiles_are_those_of_all_rows() -> None:
    fields = outputs(2_000, 5)
    result = report_of(fields).results["out_of_distribution"]
    numbers = {
        "negative_energy": logsumexp(fields["scores"].astype(np.float64), axis=1),
        "largest_score": fields["scores"].max(1),
    }
    right = fields["scores"].argmax(1) == fields["labels"]
    for score, values in numbers.items():
        for share, found in result[score]["quantiles"].items():
            expected = np.quantile(values, float(share), method="inverted_cdf")
            assert found == pytest.approx(expected, rel=result[score]["quantile_error"])
        cut = result[score]["threshold"]
        for name, some in (("share", values), ("right", values[right]), ("wrong", values[~right])):
            assert cut[f"{name}_below"] == np.mean(some < cut["value"])
        assert 0.04 < cut["right_below"] <= 0.05 < cut["wrong_below"]


def test_rows_far_below_are_found_with_their_ids() -> None:
    fields = outputs(500, 5)
    assert not report_of(fields).findings
    fields["scores"][[3, 77]] -= 100
    (finding,) = report_of(fields).findings
    assert finding.code == "far_from_the_others" and finding.count == 2
    assert sorted(finding.ids) == [3, 77]


def test_probabilities_have_no_energy() -> None:
    fields = {"scores": np.full((10, 2), 0.5), "labels": np.zeros(10, np.int64)}
    result = report_of(fields, scores="probabilities").results["out_of_distribution"]
    assert result["negative_energy"] is None
    assert result["largest_score"]["quantiles"]["0.5"] == pytest.approx(0.5)
