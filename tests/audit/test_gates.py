"""Gates: what passes, warns, fails and cannot be told, and what a gate may not be."""

import json
from typing import Any

import numpy as np
import pytest

from audit.chunks import audited, everything, outputs, setup_of_everything, some
from lossd.audit import Report, Setup, report_of
from lossd.audit.compare import compare
from lossd.audit.gates import gates_of, judge, read_gates
from lossd.errors import BadOption, UnreadableBody

ROWS = 3_000
FIELDS = everything(ROWS, 4)
STATE = audited(setup_of_everything(classes=("a.b", "c*d", 'e"f', "plain")), FIELDS).state()
REPORT = report_of(STATE)
ACCURACY = REPORT.results["accuracy"]["top_1"]["value"]
PATH = "accuracy.top_1.value"


def verdicts(report: Report, gates: dict[str, Any], *more: Any) -> list[str]:
    return [each.verdict for each in judge(report, gates_of(gates), *more).gates]


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [
        ({"min": 0.0}, "pass"),
        ({"min": 0.99}, "fail"),
        ({"max": 0.99}, "pass"),
        ({"max": 0.1}, "fail"),
        ({"warn_min": 0.99}, "warn"),
        ({"min": 0.1, "warn_min": 0.2}, "pass"),
        ({"min": 0.1, "warn_max": 0.2}, "warn"),
        ({"min": 0.99, "warn_min": 0.995}, "fail"),
        ({"min": 0.99, "on_fail": "warn"}, "warn"),
        ({"min": ACCURACY}, "pass"),
        ({"min": ACCURACY + 1e-6}, "fail"),
        ({"min": ACCURACY + 0.001, "statistical": True}, "inconclusive"),
        ({"min": ACCURACY + 0.1, "statistical": True}, "fail"),
        ({"min": ACCURACY - 0.001, "statistical": True}, "pass"),
        ({"warn_min": ACCURACY + 0.001, "statistical": True}, "warn"),
        ({"min": ACCURACY + 0.001, "statistical": True, "on_fail": "warn"}, "warn"),
    ],
)
def test_bounds(gate: dict[str, Any], verdict: str) -> None:
    judged = judge(REPORT, gates_of({PATH: gate}))
    (found,) = judged.gates
    assert found.verdict == judged.verdict == verdict
    assert found.value == ACCURACY and found.limit is not None
    assert found.sentence.startswith(PATH) and found.sentence.endswith(".")


@pytest.mark.parametrize(
    "path",
    [
        "loss.mean",
        "loss.quantiles.'0.99'",
        "rows.rejected.not_finite.count",
        'per_class.classes."a.b".accuracy',
        'per_class.classes."c*d".accuracy',
        'per_class.classes."e\\"f".accuracy',
        "per_class.classes.plain.mean_loss",
        "per_slice.columns.country.values.pt.accuracy",
        "lint.checks.equal_scores.rows",
        "loss.histogram.counts.0",
    ],
)
def test_paths_lead_to_numbers(path: str) -> None:
    assert verdicts(REPORT, {path: {"min": -1e9}}) == ["pass"]


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("accuracy.top1.value", "top_1"),
        ("accurracy.top_1.value", "accuracy"),
        ("per_slice.columns.county.values.pt.accuracy", "country"),
        ("per_class.classes.*.acuracy", "accuracy"),
        ("accuracy.top_1", "value"),
        ("loss.mean.value", "nothing"),
        ("loss.histogram.counts.9999", "0"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_what_is_near(path: str, nearest: str) -> None:
    with pytest.raises(BadOption) as caught:
        judge(REPORT, gates_of({path: {"min": 0}}))
    assert nearest in (caught.value.expected or "")
    assert caught.value.at == f"gates.{path}.metric"


def test_stars_lead_to_all_and_those_that_do_not_pass_are_named() -> None:
    values = {
        each["value"]: each["accuracy"]
        for each in REPORT.results["per_slice"]["columns"]["country"]["values"]
    }
    middle = float(np.median(list(values.values())))
    path = "per_slice.columns.country.values.*.accuracy"
    found = judge(REPORT, gates_of({path: {"min": middle}})).gates
    failing = {each.name for each in found if each.verdict == "fail"}
    assert failing == {path.replace("*", k) for k, x in values.items() if x < middle}
    assert found[-1].sentence == f"{path}: 3 of 5 checks pass."
    starred = judge(REPORT, gates_of({path.replace("*", "*t"): {"min": 0}})).gates
    assert [each.verdict for each in starred] == ["pass"]


def test_classes_of_one_name_do_not_hide_each_other() -> None:
    fields = outputs(600, 3, skill=5.0)
    fields["scores"][fields["labels"] == 0] = 0
    fields["scores"][fields["labels"] == 0, 1] = 9
    report = report_of(audited(Setup(classes=("a", "a", "b")), fields).state())
    gates = gates_of({"per_class.classes.*.accuracy": {"min": 0.5}})
    assert judge(report, gates).verdict == "fail"


def test_groups_of_few_rows_may_be_left_out() -> None:
    path = "per_slice.columns.*.values.*.accuracy"
    counts = [
        each["count"]
        for column in REPORT.results["per_slice"]["columns"].values()
        for each in column["values"]
    ]
    gates = gates_of({path: {"min": 1.1, "least_rows": 200}})
    found = judge(REPORT, gates).gates
    assert len(found) == sum(count >= 200 for count in counts)
    none = judge(REPORT, gates_of({path: {"min": 1.1, "least_rows": 10_000}})).gates
    assert [each.verdict for each in none] == ["inconclusive"]


def test_what_todays_rows_do_not_have_is_inconclusive() -> None:
    path = "per_slice.columns.country.values.us.accuracy"
    (found,) = judge(REPORT, gates_of({path: {"min": 0.5}})).gates
    assert found.verdict == "inconclusive" and path in found.sentence


def test_an_infinite_loss_is_above_every_bound() -> None:
    z = np.zeros((200, 3))
    z[::4, 0] = -np.inf
    audit = audited(Setup(), {"scores": z, "labels": np.zeros(200, np.int64)})
    gates = {"loss.mean": {"max": 1e9}, "loss.maximum": {"max": 1e9}, "loss.minimum": {"max": 9.0}}
    assert verdicts(audit.report(), gates) == ["fail", "fail", "pass"]


def test_a_path_of_many_stars_is_matched_in_one_way() -> None:
    audit = audited(
        Setup(slices=("s",)),
        {
            "scores": np.eye(2)[np.zeros(60, int)],
            "labels": np.zeros(60, np.int64),
            "slices": {"s": np.array(["a" * 250, "b"])[np.arange(60) % 2]},
        },
    )
    path = "per_slice.columns.s.values." + "*a" * 12 + "*b.accuracy"
    assert verdicts(audit.report(), {path: {"min": 0.5}}) == ["inconclusive"]
    other = "per_slice.columns.s.values.a*a*a.accuracy"
    assert verdicts(audit.report(), {other: {"min": 0.5}}) == ["pass"]


def test_many_that_fail_are_counted_beyond_a_bound() -> None:
    fields = outputs(2_000, 4) | {"slices": {"user": np.arange(2_000)}}
    report = report_of(audited(Setup(slices=("user",)), fields).state())
    path = "per_slice.columns.user.values.*.accuracy"
    found = judge(report, gates_of({path: {"min": 1.1}})).gates
    assert len(found) == 101 and "900 more" in found[-1].sentence


def test_what_is_not_defined_cannot_be_told() -> None:
    report = report_of(audited(Setup(), outputs(1, 3)).state())
    assert verdicts(report, {"loss.standard_deviation": {"max": 1}}) == ["inconclusive"]


@pytest.mark.parametrize("rows", [150, 3_000])
@pytest.mark.parametrize("change", [0.0, 0.004, 0.2])
@pytest.mark.parametrize("allowed", [0.01, 0.05])
def test_changes_are_judged_with_what_rows_can_show(
    rows: int, change: float, allowed: float
) -> None:
    a = outputs(rows, 4, skill=3.0) | {"ids": np.arange(rows)}
    right = np.flatnonzero(a["scores"].argmax(1) == a["labels"])[: round(change * rows)]
    scores = a["scores"].copy()
    scores[right, (a["labels"][right] + 1) % 4] = 50
    first, second = (
        audited(Setup(has_ids=True), each).state() for each in (a, a | {"scores": scores})
    )
    gate = {"max_drop": allowed, "statistical": True}
    comparison = compare(first, second)
    judged = judge(report_of(second), gates_of({PATH: gate}), report_of(first), comparison)
    (found,) = judged.gates
    bounds = comparison["accuracy"]
    if change == 0.2:
        assert found.verdict == "fail"
    elif bounds["minimum_detectable"] < allowed:
        assert found.verdict == "pass"
    else:
        assert found.verdict in ("inconclusive", "pass")
        assert (found.verdict == "pass") == ("ruled out" in found.sentence)
    assert judged.comparison == comparison
    json.dumps(judged.as_json(), allow_nan=False)


def test_too_few_rows_are_inconclusive_and_say_what_would_show() -> None:
    a = outputs(60, 4, skill=2.0) | {"ids": np.arange(60)}
    b = a | {"scores": outputs(60, 4, seed=5, skill=0.0)["scores"] + a["scores"]}
    first, second = (audited(Setup(has_ids=True), each).state() for each in (a, b))
    gates = gates_of({PATH: {"max_drop": 0.01, "statistical": True}})
    flipped = judge(report_of(first), gates, report_of(second), compare(second, first))
    same = judge(report_of(first), gates, report_of(first), compare(first, first))
    assert same.verdict == "inconclusive" and "too few rows to tell" in same.gates[0].sentence
    assert flipped.verdict in ("pass", "inconclusive")


def test_a_drop_is_not_hidden_by_the_rows_that_stayed() -> None:
    a = outputs(3_000, 4, skill=3.0) | {"ids": np.arange(3_000)}
    b = {key: each.copy() for key, each in a.items()}
    b["ids"][200:] += 3_000
    b["scores"][200:] = outputs(2_800, 4, seed=8, skill=0.0)["scores"]
    first, second = (audited(Setup(has_ids=True), each).state() for each in (a, b))
    gates = gates_of(
        {
            PATH: {"max_drop": 0.02, "statistical": True},
            "loss.mean": {"max_rise": 0.05, "statistical": True},
        }
    )
    judged = judge(report_of(second), gates, report_of(first), compare(first, second))
    assert [each.verdict for each in judged.gates] == ["fail", "fail"]


@pytest.mark.parametrize(
    ("gate", "before", "verdict"),
    [
        ({"max_drop": 0.05}, ACCURACY + 0.04, "pass"),
        ({"max_drop": 0.05}, ACCURACY + 0.06, "fail"),
        ({"max_drop": 0.05}, ACCURACY + 0.05, "pass"),
        ({"max_rise": 0.05}, ACCURACY - 0.06, "fail"),
        ({"max_relative_drop": 0.1}, ACCURACY / 0.91, "pass"),
        ({"max_relative_drop": 0.1}, ACCURACY / 0.89, "fail"),
        ({"max_relative_rise": 0.1}, ACCURACY / 1.11, "fail"),
        ({"max_drop": 0.0, "on_fail": "warn"}, ACCURACY + 0.1, "warn"),
        ({"max_drop": 0.05}, None, "inconclusive"),
        ({"max_drop": 0.02, "statistical": True}, ACCURACY + 0.5, "fail"),
        ({"max_drop": 0.02, "statistical": True}, ACCURACY + 0.03, "inconclusive"),
        ({"max_drop": 0.02, "statistical": True}, ACCURACY - 0.5, "pass"),
    ],
)
def test_changes_against_a_report_alone(
    gate: dict[str, Any], before: float | None, verdict: str
) -> None:
    interval = None if before is None else [before - 0.01, before + 0.01]
    top = {"value": before, "interval": interval, "correct": 1}
    baseline = {"metrics": {"accuracy": {"top_1": top}}}
    assert verdicts(REPORT, {PATH: gate}, baseline) == [verdict]


def test_a_baseline_without_the_metric_cannot_tell() -> None:
    gates = {PATH: {"max_drop": 1}}
    assert verdicts(REPORT, gates, {"metrics": {}}) == ["inconclusive"]


def test_slices_are_judged_by_the_comparison() -> None:
    worse = FIELDS | {"scores": FIELDS["scores"].copy()}
    at = FIELDS["slices"]["country"] == "se"
    worse["scores"][at] = np.roll(worse["scores"][at], 1, 1)
    other = audited(STATE.setup, worse).state()
    path = "per_slice.columns.country.values.*.accuracy"
    gates = gates_of({path: {"max_drop": 0.1, "statistical": True}})
    judged = judge(report_of(other), gates, REPORT, compare(STATE, other))
    failing = [each.name for each in judged.gates if each.verdict == "fail"]
    assert failing == [path.replace("*", "se")]


def test_what_a_comparison_says_may_be_bounded() -> None:
    comparison = compare(STATE, STATE)
    gates = {"comparison.drift.*.psi": {"max": 0.1}, "comparison.flips.changed": {"max": 0}}
    assert verdicts(REPORT, gates, None, comparison) == ["pass", "pass"]
    with pytest.raises(BadOption, match="no comparison"):
        judge(REPORT, gates_of(gates))


ROLLED = outputs(900, 4, skill=5.0)
SHIFTED = report_of(
    audited(Setup(), ROLLED | {"labels": (ROLLED["labels"] + 1) % 4}).state(),
)


@pytest.mark.parametrize(
    ("path", "gate", "verdict"),
    [
        ("findings.shifted_classes", {}, "fail"),
        ("findings.shifted_classes", {"on_fail": "warn"}, "warn"),
        ("findings.*", {"severity": "error"}, "fail"),
        ("findings.shifted_*", {"max": 5}, "pass"),
        ("findings.shifted_classes", {"warn_max": 0}, "warn"),
        ("findings.equal_scores", {}, "pass"),
    ],
)
def test_findings_are_gates_by_their_code(path: str, gate: dict[str, Any], verdict: str) -> None:
    (found,) = judge(SHIFTED, gates_of({path: gate})).gates
    assert found.verdict == verdict
    assert verdict == "pass" or "shifted by one" in found.sentence


TOML = """
[gates."accuracy.top_1.value"]
min = 0.5
warn_min = 1

[gates."findings.*"]
severity = "error"
"""
TOML_LIST = """
[[gates]]
name = "accuracy"
metric = "accuracy.top_1.value"
min = 0.5
warn_min = 1

[[gates]]
metric = "findings.*"
severity = "error"
"""
YAML = """
gates:
  accuracy.top_1.value: {min: 0.5, warn_min: 1}
  findings.*:
    severity: error
"""


@pytest.mark.parametrize(("text", "kind"), [(TOML, "toml"), (TOML_LIST, "toml"), (YAML, "yaml")])
def test_files_of_each_kind_say_the_same(text: str, kind: Any) -> None:
    judged = judge(REPORT, read_gates(text, kind))
    assert [each.verdict for each in judged.gates] == ["warn", "pass"]
    assert judged.gates[0].name == ("accuracy" if "name =" in text else PATH)


MALFORMED = [
    ("toml", "gates = 1"),
    ("toml", ""),
    ("toml", "["),
    ("toml", "gates = " + "[" * 50_000),
    ("toml", "gate = 1\n[gates]"),
    ("toml", "[gates]\nx = 1"),
    ("toml", "[gates.x]"),
    ("toml", "[gates.x]\nmin = nan"),
    ("toml", "[gates.x]\nmin = inf"),
    ("toml", "[gates.x]\nmin = true"),
    ("toml", "[gates.x]\nmin = '1'"),
    ("toml", "[gates.x]\nmin = " + "9" * 400),
    ("toml", "[gates.x]\nmin = " + "9" * 5_000),
    ("toml", "[gates.x]\nmin = 2\nmax = 1"),
    ("toml", "[gates.x]\nminimum = 2"),
    ("toml", "[gates.x]\nmax_drop = -1"),
    ("toml", "[gates.x]\nmin = 1\nseverity = 'error'"),
    ("toml", "[gates.'findings.x']\nmin = 1"),
    ("toml", "[gates.'findings.x.y']"),
    ("toml", "[gates.'findings.x']\nstatistical = true"),
    ("toml", "[gates.'findings']"),
    ("toml", "[gates.'comparison.x']\nmax_drop = 1"),
    ("toml", "[gates.'a..b']\nmin = 1"),
    ("toml", "[gates.'']\nmin = 1"),
    ("toml", "[gates.'a.\"b']\nmin = 1"),
    ("toml", "[gates.'" + "a." * 5_000 + "b']\nmin = 1"),
    ("toml", "[gates.x]\nmetric = 'y'\nmin = 1"),
    ("toml", "[[gates]]\nmin = 1"),
    ("toml", "\n".join(f"[gates.x{i}]\nmin = 1" for i in range(1_001))),
    ("toml", "#" * 300_000),
    ("toml", ".".join("a" * 40_000) + " = 1"),
    ("yaml", "gates: ["),
    ("yaml", ""),
    ("yaml", "- 1"),
    ("yaml", "gates: {x: {min: 1}, x: {min: 2}}"),
    ("yaml", "gates: {1: {min: 1}}"),
    ("yaml", "gates: {x: {min: .nan}}"),
    ("yaml", "gates: {x: {min: yes}}"),
    ("yaml", "a: &a [1]\ngates: *a"),
    ("yaml", "gates: !!python/object/apply:os.system ['true']"),
    ("yaml", "gates: " + "[" * 5_000),
    ("yaml", "gates: {? {a: 1} : 2}"),
    ("yaml", "gates: {x: {min: 2001-01-01}}"),
    ("yaml", "gates: {x: {<<: {min: 1}}}"),
    ("yaml", "a: 1\n---\nb: 2"),
    ("yaml", "gates: \x00"),
    ("yaml", "gates: " + "9" * 5_000),
]


@pytest.mark.parametrize(("kind", "text"), MALFORMED, ids=lambda x: x[:40])
def test_a_file_that_is_no_gate_file_is_refused_with_its_place(kind: Any, text: str) -> None:
    with pytest.raises((BadOption, UnreadableBody)) as caught:
        read_gates(text, kind)
    assert caught.value.at and len(str(caught.value)) < 500


def test_gates_that_need_what_is_not_there_are_refused() -> None:
    for gates in ({PATH: {"max_drop": 1}}, {"loss.maximum": {"max": 1, "statistical": True}}):
        with pytest.raises(BadOption):
            judge(REPORT, gates_of(gates))
    with pytest.raises(BadOption):
        judge(REPORT, gates_of({PATH: {"max_drop": 1}}), {"no": "report"})


def test_the_worst_gate_is_the_verdict() -> None:
    gates = {PATH: {"min": 0}, "loss.mean": {"max": 0}, "rows.used": {"warn_max": 1}}
    assert judge(REPORT, gates_of(gates)).verdict == "fail"
    assert judge(REPORT, gates_of({})).verdict == "pass"


def test_rows_of_a_part_are_judged_alone() -> None:
    part = some(FIELDS, slice(0, 100))
    report = report_of(audited(setup_of_everything(), part).state())
    assert verdicts(report, {"rows.used": {"min": 100, "max": 100}}) == ["pass"]


def test_a_finding_that_nothing_looks_for_is_no_gate() -> None:
    for report, code, says in (
        (REPORT, "not_finit", "not_finite"),
        (REPORT, "zz*", "a code"),
        (REPORT, "temperature", "the metric temperature"),
    ):
        with pytest.raises(BadOption) as caught:
            judge(report, gates_of({f"findings.{code}": {"max": 0}}))
        assert caught.value.expected is not None and says in caught.value.expected


def test_bounds_of_shares_of_few_rows_hold_together() -> None:
    """A hundred slices of four rows, each at the bound: one report of twenty may fail."""
    random, failed = np.random.default_rng(5), 0
    path = "per_slice.columns.s.values.*.accuracy"
    for _ in range(100):
        right = random.random(400) < 0.8
        scores = np.eye(2)[right.astype(int)]
        fields = {
            "scores": scores,
            "labels": np.ones(400, np.int64),
            "slices": {"s": np.arange(400) % 100},
        }
        setup = Setup(slices=("s",), metrics=("per_slice",))
        report = audited(setup, fields).report()
        found = judge(report, gates_of({path: {"min": 0.8, "statistical": True}}))
        failed += found.verdict == "fail"
    assert failed <= 9


def test_a_share_of_all_is_not_beyond_a_bound_that_chance_reaches() -> None:
    fields = {"scores": np.eye(2)[np.ones(30, int)], "labels": np.ones(30, np.int64)}
    report = audited(Setup(), fields).report()
    assert verdicts(report, {PATH: {"max": 0.995, "statistical": True}}) == ["inconclusive"]
