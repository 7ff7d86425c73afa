"""Label issues, against cleanlab; what one pass knows, and what a second one adds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from audit.chunks import audited, outputs, some
from lossd.audit import Audit, Setup
from lossd.audit.confidence_bins import Bins
from lossd.audit.second_pass import RULES, Issues, SecondPass
from lossd.errors import BadOption, MissingInput

CASES = json.loads((Path(__file__).parent / "cases/label_issues.json").read_text())
ABOUT = [case["from"] for case in CASES]
Case = Mapping[str, Any]


def fields_of(case: Case, scores: str) -> dict[str, Any]:
    p = np.array(case["probabilities"])
    with np.errstate(divide="ignore"):
        z = p if scores == "probabilities" else np.log(p)
    return {"scores": z, "labels": np.array(case["labels"])}


def audit_of(fields: Mapping[str, Any], **options: Any) -> Audit:
    return audited(Setup(metrics=("label_issues",), **options), fields)


def result_of(fields: Mapping[str, Any], **options: Any) -> Any:
    return audit_of(fields, **options).report().results["label_issues"]


def noisy(
    rows: int, classes: int, seed: int, noise: float, skill: float = 9.0
) -> tuple[dict[str, Any], NDArray[Any]]:
    """Good outputs with some wrong labels, and which these are."""
    fields = outputs(rows, classes, seed=seed, skill=skill)
    wrong = np.random.default_rng(seed).random(rows) < noise
    labels = np.where(wrong, (fields["labels"] + 1) % classes, fields["labels"])
    return fields | {"labels": labels}, wrong


@pytest.mark.parametrize("scores", ["logits", "probabilities"])
@pytest.mark.parametrize("case", CASES, ids=ABOUT)
def test_the_second_pass_lists_what_cleanlab_lists(case: Case, scores: str) -> None:
    fields = fields_of(case, scores)
    with SecondPass(audit_of(fields, scores=scores).state()) as second:
        issues = second.add(**fields)
    assert issues.ids.tolist() == case["issues"]
    assert second.count == case["count"]
    np.testing.assert_allclose(second.thresholds, case["thresholds"], rtol=1e-12)
    counts = second.confident
    np.fill_diagonal(counts, np.maximum(np.diagonal(counts), 1))
    assert counts.tolist() == case["confident_joint"]
    # cleanlab rounds the joint's counts to whole rows.
    joint = np.array(second.result()["joint"])
    np.testing.assert_allclose(joint, case["joint"], atol=1.01 / len(case["labels"]))


@pytest.mark.parametrize("case", [each for each in CASES if each["count_by_argmax"] is not None])
def test_the_argmax_rule_counts_as_cleanlab_in_batches(case: Case) -> None:
    fields = fields_of(case, "probabilities")
    state = audit_of(fields, scores="probabilities").state()
    with SecondPass(state, rule="argmax") as second:
        second.add(**fields)
    assert second.count == case["count_by_argmax"]


@pytest.mark.parametrize("cells", [1 << 20, 2000, 1])
@pytest.mark.parametrize("case", CASES, ids=ABOUT)
def test_one_pass_says_between_what_the_count_lies(case: Case, cells: int) -> None:
    fields = fields_of(case, "probabilities")
    audit = audit_of(fields, scores="probabilities", issue_cells=cells)
    result = audit.report().results["label_issues"]
    with SecondPass(audit.state(), rule="argmax") as second:
        second.add(**fields)
    fewest, most = result["count_bounds"]
    assert fewest <= second.count <= most
    assert fewest <= result["count"] <= most
    assert fewest <= case["count"] <= result["most_by_any_rule"]
    if cells == 1 << 20:
        assert most - fewest <= 2


@pytest.mark.parametrize("case", CASES, ids=ABOUT)
def test_the_listed_rows_are_those_of_the_lowest_self_confidence(case: Case) -> None:
    result = result_of(
        fields_of(case, "probabilities"), scores="probabilities", issue_ranking="self_confidence"
    )
    listed = [each["id"] for each in result["listed"]]
    p, labels = np.array(case["probabilities"]), np.array(case["labels"])
    # cleanlab lists rows of low confidence even where the label is the most probable class.
    lowest = [i for i in case["lowest_self_confidence"] if p[i].argmax() != labels[i]]
    own = p[np.arange(len(labels)), labels]
    shared = min(len(lowest), len(listed))
    np.testing.assert_array_equal(own[listed[:shared]], own[lowest[:shared]])
    np.testing.assert_allclose([each["probability"] for each in result["listed"]], own[listed])


def test_the_paper_rule_keeps_rows_whose_label_is_most_probable() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.45, 0.55]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Thresholds: 0.8 and 0.55. The last row is confident of its label alone; the third of nothing.
    fields = {"scores": p, "labels": labels}
    state = audit_of(fields, scores="probabilities").state()
    found = {}
    for rule in RULES:
        with SecondPass(state, rule=rule) as second:
            found[rule] = second.add(**fields).ids.tolist()
            assert second.thresholds == pytest.approx([0.8, 0.55])
    assert found == {"argmax": [], "cleanlab": [], "paper": []}
    more = {"scores": np.array([[0.55, 0.45], [0.3, 0.7]]), "labels": np.array([0, 0])}
    with SecondPass(state, rule="paper") as second:
        assert second.add(**more).suggested.tolist() == [1]


@pytest.mark.parametrize("rule", RULES)
def test_the_second_pass_does_not_depend_on_cuts_or_threads(rule: Any) -> None:
    fields, _ = noisy(60_000, 10, 3, 0.05)
    state = audit_of(fields).state()
    with SecondPass(state, rule=rule, threads=1) as whole:
        expected = whole.add(**fields)
    cuts = [slice(0, 7), slice(7, 7), slice(7, 40_000), slice(40_000, 60_000)]
    parts = []
    with SecondPass(state, rule=rule, threads=3) as first, SecondPass(state, rule=rule) as other:
        for cut in cuts[:3]:
            parts.append(first.add(**some(fields, cut)))
        parts.append(other.add(**some(fields, cuts[3]), first_row=40_000))
        first.merge(other)
    joined = Issues.joined(parts)
    for name in ("ids", "label", "suggested", "score", "probability", "suggested_probability"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(expected, name))
    assert first.result() == whole.result()


@pytest.mark.parametrize("ranking", ["posterior", "margin", "el2n", "self_confidence"])
def test_wrong_labels_are_found(ranking: str) -> None:
    fields, wrong = noisy(20_000, 10, 1, 0.05)
    report = audit_of(fields, issue_ranking=ranking, classes=tuple("abcdefghij")).report()
    result = report.results["label_issues"]
    listed = [each["id"] for each in result["listed"]]
    assert wrong[listed].mean() > 0.97
    assert len(listed) > 0.95 * wrong.sum()
    assert result["complete"] and result["count"] == len(listed)
    assert result["noise_rate"] == pytest.approx(0.05, abs=0.006)
    (finding,) = report.findings
    assert (finding.code, finding.severity) == ("mislabelled_rows", "warning")
    assert finding.ids == tuple(listed[:10]) and "look mislabelled; most often" in finding.sentence
    pair = result["most_mislabelled"][0]
    assert "abcdefghij".index(pair["label"]) == ("abcdefghij".index(pair["suggested"]) + 1) % 10


def precision_of(fields: Mapping[str, Any], wrong: NDArray[Any], ranking: str) -> float:
    listed = result_of(fields, issue_ranking=ranking)["listed"]
    return float(wrong[[each["id"] for each in listed]].mean())


@pytest.mark.parametrize("seed", range(3))
def test_by_the_posterior_rows_of_a_frequent_confusion_come_first(seed: int) -> None:
    fields, wrong = noisy(20_000, 10, seed, 0.1, skill=3.0)
    best = precision_of(fields, wrong, "posterior")
    for other in ("margin", "el2n", "self_confidence"):
        assert best > precision_of(fields, wrong, other)


def test_both_passes_give_a_row_the_same_score() -> None:
    fields, _ = noisy(5000, 10, 0, 0.1)
    audit = audit_of(fields)
    with SecondPass(audit.state(), rule="argmax") as second:
        issues = second.add(**fields)
    scores = dict(zip(issues.ids.tolist(), issues.score.tolist(), strict=True))
    listed = audit.report().results["label_issues"]["listed"]
    shared = [each for each in listed if each["id"] in scores]
    assert len(shared) > 400
    for each in shared:
        assert scores[each["id"]] == pytest.approx(each["score"], rel=1e-12)


@pytest.mark.parametrize("ranking", ["posterior", "margin", "el2n", "self_confidence"])
def test_impossible_probabilities_do_no_harm(ranking: str) -> None:
    p = np.array([[-1.0, -2.0], [2.0, 7.0], [-3.0, 1e300], [1e-310, 0.5], [0.0, 0.0]])
    fields = {"scores": p, "labels": np.array([1, 0, 0, 0, 1])}
    audit = audit_of(fields, scores="probabilities", issue_ranking=ranking)
    json.loads(audit.report().to_json())
    for rule in RULES:
        with SecondPass(audit.state(), rule=rule) as second:
            second.add(**fields)
        json.dumps(second.result(), allow_nan=False)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 10, 50])
def test_right_labels_are_left_in_peace(seed: int, classes: int) -> None:
    fields, _ = noisy(4000, classes, seed, 0.0)
    assert not audit_of(fields).report().findings


def test_a_list_that_is_cut_says_so_and_shows_rows_for_review_from_all_issues() -> None:
    fields, wrong = noisy(20_000, 10, 2, 0.1)
    result = result_of(fields, most_listed=50, most_reviewed=20)
    assert len(result["listed"]) == 50 and not result["complete"] and result["bound"] == 50
    assert result["count"] > 1500
    assert result["review"]["of"] == "flagged" and len(result["review"]["rows"]) == 20
    assert wrong[[each["id"] for each in result["review"]["rows"]]].mean() > 0.9


def test_rows_for_review_are_some_of_a_whole_list() -> None:
    fields, _ = noisy(5000, 10, 2, 0.1)
    result = result_of(fields, most_reviewed=20)
    listed = {each["id"] for each in result["listed"]}
    shown = [each["id"] for each in result["review"]["rows"]]
    assert result["review"]["of"] == "listed" and len(shown) == 20 and set(shown) <= listed


@pytest.mark.parametrize("classes", [200, 1500])
def test_of_many_classes_pairs_are_counted_coarsely_or_not_at_all(classes: int) -> None:
    fields, _ = noisy(9000, classes, 4, 0.1, skill=16.0)
    audit = audit_of(fields)
    result = audit.report().results["label_issues"]
    with SecondPass(audit.state(), rule="argmax") as second:
        second.add(**fields)
    assert result["count"] == pytest.approx(second.count, rel=0.03) and second.count > 500
    assert result["noise_rate_calibrated"] == (classes == 200)
    assert (result["most_mislabelled"] is None) == (classes == 1500)
    assert (result["thresholds"] is None) == (classes == 1500)
    sizes = {key: len(part.values) for key, part in audit.state().pieces["label_issues"].items()
             if key.startswith("by_")}  # fmt: skip
    assert sizes["by_pair"] == (200 if classes == 200 else 0)


def test_a_second_pass_needs_a_first() -> None:
    fields = outputs(10, 3)
    with pytest.raises(BadOption, match="nothing to take thresholds from"):
        SecondPass(audited(Setup(metrics=("accuracy",)), fields).state())
    with pytest.raises(BadOption, match="no such rule"):
        SecondPass(audit_of(fields).state(), rule="other")  # type: ignore[arg-type]  # hostile


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("cells", [1, 2, 30, 500, 100_000])
def test_bins_are_found_where_their_edges_say(classes: int, cells: int) -> None:
    bins = Bins.within(cells, classes, most_parts_bits=8)
    edges = bins.edges()
    assert 1 <= len(bins) <= cells and len(edges) == len(bins) + 1
    assert edges[0] == 0 and edges[-1] == 1 and (np.diff(edges) > 0).all()
    middles = (edges[1:] + edges[:-1]) / 2
    assert [bins.place(each) for each in middles] == list(range(len(bins)))
    assert bins.place(0.0) == 0 and bins.place(1.0) == bins.place(1.5) == len(bins) - 1


def test_the_second_pass_names_rows_by_their_ids() -> None:
    fields, _ = noisy(2000, 4, 0, 0.1)
    named = fields | {"ids": np.array([f"row {i}" for i in range(2000)])}
    with SecondPass(audit_of(fields).state()) as second:
        numbers = second.add(**fields, first_row=7).ids
    with SecondPass(audit_of(named, has_ids=True).state()) as second:
        names = second.add(**named).ids
        with pytest.raises(MissingInput):
            second.add(**fields)
    assert names.tolist() == [f"row {i - 7}" for i in numbers.tolist()]


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_of_digits_only_spoilt_labels_are_complained_of(share: float) -> None:
    x, truth = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    wrong = random.random(len(truth)) < share
    labels = np.where(wrong, (truth + random.integers(1, 10, len(truth))) % 10, truth)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=100, tol=0.01))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    p = cross_val_predict(model, x, labels, cv=folds, method="predict_proba")
    report = audit_of({"scores": p, "labels": labels}, scores="probabilities").report()
    assert [each.code for each in report.findings] == ["mislabelled_rows"] * (share > 0)
    ids = [each["id"] for each in report.results["label_issues"]["listed"]]
    assert not ids or share == 0 or wrong[ids].mean() > 0.8
