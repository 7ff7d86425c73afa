"""The check that a test suite makes in one call."""

from pathlib import Path

import numpy as np
import pytest

from audit.chunks import outputs
from lossd.audit import Audit, Report, check
from lossd.errors import BadOption, MissingInput, UnreadableBody, WrongShape

ROWS = outputs(2_000, 5)
Z, LABELS = ROWS["scores"], ROWS["labels"]
GOOD = {"accuracy.top_1.value": {"min": 0.1}}


def test_outputs_that_pass_give_their_report() -> None:
    report = check(Z, LABELS, gates=GOOD)
    assert isinstance(report, Report) and report.verdict == "pass" and report.rows == 2_000


def test_a_gate_that_fails_is_an_assertion_that_says_why() -> None:
    with pytest.raises(AssertionError) as caught:
        check(Z, LABELS, gates={"accuracy.top_1.value": {"min": 0.99}})
    message = str(caught.value)
    assert message.startswith("FAIL") and "below 0.99" in message
    assert "Results" not in message, "the top of the report is enough"


def test_findings_are_said_where_a_gate_fails() -> None:
    with pytest.raises(AssertionError, match="shifted by one"):
        check(Z, (LABELS + 1) % 5, gates={"findings.*": {"severity": "error"}})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gates.toml", '[gates."accuracy.top_1.value"]\nmin = 0.99'),
        ("gates.yaml", "gates: {accuracy.top_1.value: {min: 0.99}}"),
        ("gates.yml", "gates: [{metric: accuracy.top_1.value, min: 0.99}]"),
    ],
)
def test_gates_come_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(AssertionError, match=r"below 0\.99"):
        check(Z, LABELS, gates=tmp_path / name)
    with pytest.raises(AssertionError):
        check(Z, LABELS, gates=str(tmp_path / name))


def test_options_are_those_of_an_audit() -> None:
    country = np.array(["de", "fr"] * 1_000)
    gates = {"per_slice.columns.country.values.*.accuracy": {"min": 0.1}}
    report = check(
        Z,
        LABELS,
        gates=gates,
        slices={"country": country},
        ids=np.arange(2_000),
        weights=np.ones(2_000),
        classes=tuple("abcde"),
    )
    assert report.setup["classes"] == list("abcde") and report.verdict == "pass"


def test_changes_are_judged_against_a_state() -> None:
    with Audit(has_ids=True) as audit:
        audit.add(Z, LABELS, ids=np.arange(2_000))
        before = audit.state()
    gates = {"accuracy.top_1.value": {"max_drop": 0.05, "statistical": True}}
    same = check(Z, LABELS, ids=np.arange(2_000), gates=gates, baseline=before)
    assert same.comparison is not None and same.comparison["accuracy"]["paired"]
    noise = 3 * np.random.default_rng(0).normal(size=Z.shape)
    with pytest.raises(AssertionError, match=r"a drop beyond the allowed 0\.05 is shown"):
        check(Z + noise, LABELS, ids=np.arange(2_000), gates=gates, baseline=before)


def test_what_cannot_be_told_fails_only_where_asked() -> None:
    found = outputs(60, 5)
    accuracy = float((found["scores"].argmax(1) == found["labels"]).mean())
    gates = {"accuracy.top_1.value": {"min": accuracy + 0.01, "statistical": True}}
    report = check(found["scores"], found["labels"], gates=gates)
    assert report.verdict == "inconclusive"
    with pytest.raises(AssertionError, match="INCONCLUSIVE"):
        check(found["scores"], found["labels"], gates=gates, inconclusive_fails=True)


def test_what_makes_no_sense_is_no_failed_check(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="the nearest is 'top_1'"):
        check(Z, LABELS, gates={"accuracy.top1.value": {"min": 0}})
    with pytest.raises(WrongShape):
        check(Z, LABELS[:5], gates=GOOD)
    with pytest.raises(MissingInput):
        check(Z, LABELS, gates=GOOD, embedding_size=4)
    with pytest.raises(OSError):
        check(Z, LABELS, gates=tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableBody):
        check(Z, LABELS, gates=tmp_path / "binary.toml")


def test_no_usable_rows_never_pass() -> None:
    for scores, labels in ((Z[:0], LABELS[:0]), (Z, LABELS + 100), (Z * np.nan, LABELS)):
        with pytest.raises(AssertionError, match="is not defined"):
            check(scores, labels, gates=GOOD)
