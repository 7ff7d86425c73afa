"""Embeddings far from the others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis

from audit.chunks import audited, outputs, some
from lossd.audit import Audit, Setup
from lossd.audit.covariances import MOST, Covariances


def report_of(embeddings: Any, **options: Any) -> Any:
    setup = Setup(metrics=("embedding_outliers",), embedding_size=embeddings.shape[1], **options)
    with Audit(setup) as audit:
        audit.add(**outputs(len(embeddings), 3), embeddings=embeddings)
        return audit.report()


def cloud(rows: int, features: int, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    mix = random.normal(size=(features, features))
    return random.normal(size=(rows, features)) @ mix + 10 * random.normal(size=features)


@pytest.mark.parametrize(("scale", "features"), [(1.0, 4), (0.05, 20), (100.0, 3)])
def test_distances_are_those_of_scipy(scale: float, features: int) -> None:
    x = scale * cloud(500, features)
    mean, inverse = x.mean(0), np.linalg.inv(np.cov(x.T))
    expected = np.array([mahalanobis(each, mean, inverse) for each in x])
    result = report_of(x).results["embedding_outliers"]
    assert result["complete"] and result["directions"] == features
    assert result["distances"]["mean"] == pytest.approx(expected.mean(), rel=1e-4)
    assert result["distances"]["maximum"] == pytest.approx(expected.max(), rel=1e-4)
    for share, found in result["distances"]["quantiles"].items():
        assert found == pytest.approx(np.quantile(expected, float(share)), rel=1e-4)


@given(
    st.lists(st.lists(st.floats(-MOST, MOST), min_size=3, max_size=3), min_size=2, max_size=9),
    st.integers(0, 9),
)
def test_a_cut_leaves_no_trace_in_moments(rows: list[list[float]], cut: int) -> None:
    x = np.array(rows)
    whole, one, other = Covariances(3), Covariances(3), Covariances(3)
    whole.add(x)
    one.add(x[:cut][::-1])
    other.add(x[cut:])
    other.merge(one)
    for key, array in whole.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[key])
    rounded = np.rint(x * 2.0**28) / 2.0**28
    np.testing.assert_allclose(whole.mean(), rounded.mean(0), rtol=1e-12, atol=1e-9)


def test_the_largest_features_add_up_exactly() -> None:
    x = np.full((9_000, 2), MOST)
    x[::2] = -MOST
    found = Covariances(2)
    found.add(x)
    assert found.mean().tolist() == [0.0, 0.0]
    expected = MOST**2 * 9_000 / 8_999
    np.testing.assert_array_equal(found.covariance(), np.full((2, 2), expected))


def test_far_rows_are_found_with_their_ids() -> None:
    x = cloud(1_000, 5)
    assert not report_of(x).findings
    x[[3, 500]] += 100 * np.linalg.norm(x.std(0))
    (finding,) = report_of(x).findings
    assert finding.code == "far_embeddings" and sorted(finding.ids) == [3, 500]


def test_a_direction_that_no_row_goes_does_not_count() -> None:
    x = cloud(300, 3)
    flat = np.concatenate([x, x[:, :1], np.full((300, 1), 2.5)], axis=1)
    one, other = report_of(x), report_of(flat)
    distances = [each.results["embedding_outliers"]["distances"] for each in (one, other)]
    assert other.results["embedding_outliers"]["directions"] == 3
    assert distances[0]["mean"] == pytest.approx(distances[1]["mean"], rel=1e-4)


def test_what_is_left_out_is_said() -> None:
    x = cloud(400, 300)
    x[5, 2], x[6, 3] = np.nan, 1e9
    report = report_of(x, most_sampled=50)
    result = report.results["embedding_outliers"]
    assert (result["features"], result["of_features"]) == (256, 300)
    assert (result["sampled"], result["complete"]) == (50, False)
    assert (result["not_finite"], result["clipped"]) == (1, 1)
    assert "embeddings_not_finite" in [each.code for each in report.findings]


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_give_no_distance_that_is_not_a_number(rows: int) -> None:
    setup = Setup(metrics=("embedding_outliers",), embedding_size=2)
    fields = outputs(5, 3) | {"embeddings": cloud(5, 2)}
    fields["embeddings"][rows:] = np.inf
    report = audited(setup, some(fields, slice(None))).report()
    assert report.results["embedding_outliers"]["rows"] == rows
    report.to_json()
