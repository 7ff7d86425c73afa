"""Losses, confusion, classes and slices against what others find of the same outputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.chunks import everything, outputs
from lossd.audit import Audit, Report
from lossd.audit.buckets import VALUE_ERROR
from lossd.audit.metrics._groups import findings
from lossd.audit.significance import adjusted, two_shares
from lossd.errors import OutOfRange

CASES = json.loads((Path(__file__).parent / "cases/row_metrics.json").read_text())
SIGNIFICANCE = json.loads((Path(__file__).parent / "cases/significance.json").read_text())
NEAR: dict[str, Any] = {"rel": 1e-12, "abs": 1e-14}


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def report_of(case: Any, scores: str) -> Report:
    z = np.array(case["logits"])
    with Audit(scores=scores, has_weights=True, slices=("s",)) as audit:
        audit.add(
            z if scores == "logits" else softmax(z),
            case["labels"],
            weights=case["weights"],
            slices={"s": case["slice"]},
        )
        return audit.report()


@pytest.fixture(params=["logits", "probabilities"], scope="module")
def scores(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=CASES, ids=lambda case: case["from"], scope="module")
def case(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def results(case: Any, scores: str) -> Any:
    return report_of(case, scores).results


def test_the_loss_is_the_others(case: Any, results: Any) -> None:
    found = results["loss"]
    assert found["mean"] == pytest.approx(case["mean_loss"], **NEAR)
    assert found["mean_of_finite"] == found["mean"]
    assert found["interval"] == pytest.approx(case["mean_loss_interval"], **NEAR)
    assert found["standard_deviation"] == pytest.approx(case["standard_deviation"], **NEAR)
    assert found["weighted_mean"] == pytest.approx(case["weighted_mean_loss"], **NEAR)
    assert found["quantiles"] == pytest.approx(case["loss_quantiles"], rel=VALUE_ERROR)
    assert sum(found["histogram"]["counts"]) == len(case["labels"])


def test_distributions_are_the_others(case: Any, results: Any) -> None:
    for name in ("confidence", "entropy", "margin"):
        expected = case[f"mean_{name}"]
        assert results["distributions"][name]["mean"] == pytest.approx(expected, **NEAR)


def test_gradients_are_the_others(case: Any, results: Any) -> None:
    found, expected = results["gradients"], case["by_class"]
    assert found["el2n"]["mean"] == pytest.approx(expected["mean_el2n"], **NEAR)
    assert found["share_by_class"] == pytest.approx(expected["share_of_gradient"], **NEAR)


def test_the_confusion_is_the_others(case: Any, results: Any) -> None:
    counts = np.array(case["confusion"])
    assert results["confusion"]["dense"]
    assert results["confusion"]["counts"] == counts.tolist()
    first = results["confusion"]["most_confused"][0]
    assert first["count"] == (counts - np.diag(np.diag(counts))).max()
    assert first["share"] == first["count"] / counts.sum(1)[int(first["label"])]


@pytest.mark.parametrize("most_pairs", [3, 1_000])
def test_a_sparse_confusion_has_the_same_counts(case: Any, most_pairs: int) -> None:
    with Audit(dense_classes=1, most_pairs=most_pairs, metrics=("confusion",)) as audit:
        audit.add(case["logits"], case["labels"])
        found = audit.report().results["confusion"]
    counts = np.array(case["confusion"])
    wrong = int(counts.sum() - np.diag(counts).sum())
    assert not found["dense"]
    for each in found["pairs"]:
        assert each["count"] == counts[int(each["label"]), int(each["predicted"])]
    assert sum(each["count"] for each in found["pairs"]) + found["others"] == wrong
    assert len(found["pairs"]) == min(most_pairs, int((counts > 0).sum() - len(counts)))


def test_classes_are_the_others(case: Any, results: Any) -> None:
    expected = case["by_class"]
    for i, found in enumerate(results["per_class"]["classes"]):
        assert found["class"] == str(i)
        assert found["accuracy"] == found["recall"]
        for key in ("count", "precision", "recall", "f1", "mean_loss", "mean_confidence"):
            assert (found[key] or 0.0) == pytest.approx(expected[key][i], **NEAR), key
        for key in ("accuracy_interval", "mean_loss_interval"):
            assert found[key] == pytest.approx(expected[key][i], **NEAR), key
    macro = results["per_class"]["macro_average"]
    found_macro = [macro[key] for key in ("precision", "recall", "f1")]
    assert found_macro == pytest.approx(expected["macro"], **NEAR)


def test_slices_are_the_others(case: Any, results: Any) -> None:
    found = {each["value"]: each for each in results["per_slice"]["columns"]["s"]["values"]}
    assert set(found) == set(case["by_slice"])
    for value, expected in case["by_slice"].items():
        for key in ("count", "accuracy", "mean_loss", "mean_loss_interval"):
            assert found[value][key] == pytest.approx(expected[key], **NEAR), key
        for key in ("p_value", "adjusted_p_value"):
            assert found[value][key] == pytest.approx(expected[key], rel=1e-9), key
        assert found[value]["rejected"] is expected["rejected"]
    assert results["per_slice"]["tests"] == len(found)


def test_tests_of_two_shares_are_the_others() -> None:
    for each in SIGNIFICANCE:
        for (a, n, b, m), expected in zip(each["tables"], each["p_values"], strict=True):
            assert two_shares(a, n, b, m) == pytest.approx(expected, rel=1e-8, abs=1e-300)
        for asked, expected in zip(each["lists"], each["adjusted"], strict=True):
            assert adjusted(asked) == pytest.approx(expected, rel=1e-12)
    assert two_shares(3, 5, 0, 0) is None
    assert adjusted([]) == []


def test_healthy_outputs_have_no_findings() -> None:
    fields = everything(3_000, 6)
    with Audit(
        has_ids=True, has_weights=True, slices=("country", "device"), embedding_size=3
    ) as audit:
        audit.add(**fields)
        assert [each for each in audit.report().findings if each.code in CODES] == []


CODES = {
    "infinite_loss",
    "undefined_loss",
    "never_predicted",
    "worse_class",
    "worse_slice",
    "duplicate_ids",
}


def test_chance_alone_makes_no_slice_worse() -> None:
    """A hundred values of no meaning, each tested: at most one audit in twenty tells of one."""
    random = np.random.default_rng(5)
    told = 0
    for seed in range(40):
        fields = outputs(5_000, 3, seed=seed)
        column = random.integers(0, 100, 5_000)
        with Audit(slices=("s",), metrics=("per_slice",)) as audit:
            audit.add(**fields, slices={"s": column})
            told += bool(audit.report().findings)
    assert told <= 5


def spoiled() -> dict[str, Any]:
    """Class 2 is never predicted, class 1 is hard, and where s is "bad" nothing is right."""
    fields = outputs(4_000, 5, skill=4.0) | {"ids": np.arange(4_000), "slices": {}}
    z, labels = fields["scores"], fields["labels"]
    z[:, 2] = -50
    z[labels == 1] = outputs(4_000, 5, skill=0.0)["scores"][labels == 1] - [0, 0, 50, 0, 0]
    column = np.where(np.arange(4_000) % 10 == 3, "bad", "good")
    z[column == "bad"] = z[column == "bad"][:, [1, 0, 2, 4, 3]]
    z[7] = [0, 0, -np.inf, 0, 0]
    labels[7] = 2
    fields["slices"] = {"s": column}
    fields["ids"][100:103] = 99
    return fields


def test_what_is_wrong_is_said_with_numbers_and_names() -> None:
    with Audit(has_ids=True, slices=("s",), classes=("ant", "bee", "cat", "dog", "eel")) as audit:
        audit.add(**spoiled())
        report = audit.report()
    found = {code: [each for each in report.findings if each.code == code] for code in CODES}
    assert "'cat'" in found["never_predicted"][0].sentence
    assert "'bee'" in found["worse_class"][0].sentence
    assert "'s' is 'bad'" in found["worse_slice"][0].sentence
    assert found["infinite_loss"][0].ids == (7,)
    assert found["duplicate_ids"][0].ids == (99,)
    assert found["duplicate_ids"][0].count == 3
    assert report.results["sample"]["duplicates"]["surplus_rows"] == 3
    assert report.results["loss"]["mean"] is None
    assert report.results["loss"]["interval"] is None
    assert report.results["loss"]["mean_of_finite"] > 0


def test_small_slices_are_shown_and_not_tested() -> None:
    fields = outputs(500, 3)
    column = np.where(np.arange(500) < 29, "few", "many")
    fields["labels"][:29] = (fields["scores"][:29].argmax(1) + 1) % 3
    with Audit(slices=("s",)) as audit:
        audit.add(**fields, slices={"s": column})
        report = audit.report()
    few = report.results["per_slice"]["columns"]["s"]["values"][1]
    assert (few["value"], few["accuracy"], few["p_value"], few["rejected"]) == (
        "few",
        0,
        None,
        False,
    )
    assert not [each for each in report.findings if each.code == "worse_slice"]


def test_of_many_classes_the_largest_and_the_worst_are_told() -> None:
    fields = outputs(60_000, 300, skill=6.0)
    hard = fields["labels"] == 123
    fields["scores"][hard] = outputs(60_000, 300, skill=0.0, seed=3)["scores"][hard]
    with Audit() as audit:
        audit.add(**fields)
        report = audit.report()
    found = report.results["per_class"]
    told = [each["class"] for each in found["classes"]]
    assert len(told) == 100
    assert "123" in told
    assert found["others"]["classes"] == 200
    assert found["others"]["count"] + sum(each["count"] for each in found["classes"]) == 60_000
    counts = np.bincount(fields["labels"])
    assert str(counts.argmax()) in told
    assert [each.code for each in report.findings if each.code in CODES] == ["worse_class"]
    assert not report.results["confusion"]["dense"]


def test_a_sample_of_some_rows_estimates_how_many_ids_come_again() -> None:
    fields = outputs(20_000, 3) | {"ids": np.repeat(np.arange(10_000), 2)}
    with Audit(has_ids=True, most_sampled=2_000, metrics=("sample",)) as audit:
        audit.add(**fields)
        report = audit.report()
    found = report.results["sample"]
    assert (found["kept"], found["complete"]) == (2_000, False)
    assert found["duplicates"]["estimated_surplus_rows"] == pytest.approx(10_000, rel=0.01)
    assert report.findings[0].code == "duplicate_ids"


@pytest.mark.parametrize("weight", [1e-13, 5e-324, 1.1e12, 1e300])
def test_weights_that_cannot_be_summed_exactly_are_refused_where_they_are(weight: float) -> None:
    fields = outputs(5, 3)
    with Audit(has_weights=True, threads=1) as audit:
        audit.add(**fields, weights=[0.0, 1e-12, 1.0, 1e12, 3.0])
        with pytest.raises(OutOfRange) as caught:
            audit.add(**fields, weights=[1.0, 0.0, weight, weight, 1.0], first_row=5)
    assert caught.value.at == "weights[2]"


def test_groups_that_are_not_told_count_by_their_rows() -> None:
    bad = {"accuracy": 0.1, "accuracy_interval": [0.0, 0.2], "accuracy_elsewhere": 0.9,
           "adjusted_p_value": 1e-9}  # fmt: skip
    worse = [(f"Where s is {i},", bad | {"count": 100 - i}) for i in range(13)]
    *told, rest = findings("worse_slice", worse, 13, "slices")
    assert [each.count for each in told] == [*range(100, 90, -1)]
    assert rest.count == 90 + 89 + 88 and rest.sentence.startswith("3 more slices")
