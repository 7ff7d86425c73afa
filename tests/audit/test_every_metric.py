"""Laws that hold for every metric, whatever it measures."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.chunks import audited, everything, outputs, setup_of_everything, some
from lossd.audit import Setup, State, load, report_of
from lossd.audit.metrics import METRICS

TIGHT = {
    "most_listed": 7,
    "most_sampled": 11,
    "most_slices": 5,
    "most_pairs": 4,
    "dense_classes": 3,
}
ROWS = 300
FIELDS = everything(ROWS, 4)


def report_without_notes(state: State) -> str:
    found = report_of(state).as_json()
    del found["notes"]
    return json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("name", METRICS)
@given(
    order=st.permutations(range(12)),
    cuts=st.lists(st.integers(0, ROWS), max_size=6),
    shards=st.integers(1, 3),
)
@settings(max_examples=12, deadline=None)
def test_cuts_order_and_shards_leave_no_trace(
    name: str, order: list[int], cuts: list[int], shards: int
) -> None:
    setup = setup_of_everything(metrics=(name,), **TIGHT)
    whole = audited(setup, FIELDS).state()
    rows = np.concatenate([np.arange(ROWS)[i::12] for i in order])
    ends = sorted({0, ROWS, *cuts})
    parts = [some(FIELDS, rows[a:b]) for a, b in itertools.pairwise(ends)]
    states = [audited(setup, *parts[i::shards]).state() for i in range(shards)]
    merged = State(setup)
    for each in reversed(states):
        merged.merge(each)
    assert merged.save() == whole.save()
    assert report_without_notes(merged) == report_without_notes(whole)


@pytest.mark.parametrize("name", METRICS)
def test_threads_leave_no_trace(name: str) -> None:
    many = everything(150_000, 4)
    setup = setup_of_everything(metrics=(name,))
    assert audited(setup, many, threads=3).state().save() == audited(setup, many).state().save()


@pytest.mark.parametrize("name", METRICS)
def test_a_state_comes_back_from_its_file(name: str) -> None:
    state = audited(setup_of_everything(metrics=(name,), **TIGHT), FIELDS).state()
    back = load(state.save())
    assert back.save() == state.save()
    back.merge(state)
    assert back.rows == 2 * state.rows


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("scores", ["logits", "probabilities"])
def test_a_report_is_strict_json_whatever_the_rows(name: str, scores: str) -> None:
    for fields in _extremes(scores):
        audit = audited(Setup(metrics=(name,), scores=scores), fields)
        report = audit.report()
        json.loads(report.to_json())
        for finding in report.findings:
            assert finding.sentence.endswith(".")
            assert any(finding.code in METRICS[each].codes for each in report.results)


@pytest.mark.parametrize("name", METRICS)
def test_rows_that_are_left_out_are_counted_and_named_whatever_is_measured(name: str) -> None:
    fields = outputs(50, 3)
    fields["scores"][[4, 7]] = np.nan
    report = audited(Setup(metrics=(name,)), fields).report()
    rejected = report.results["rows"]["rejected"]["not_finite"]
    assert (rejected["count"], sorted(rejected["ids"])) == (2, [4, 7])
    found = {each.code: each for each in report.findings}["not_finite"]
    assert (found.severity, found.count, sorted(found.ids)) == ("error", 2, [4, 7])


def _extremes(scores: str) -> list[dict[str, Any]]:
    some_rows = outputs(40, 3)
    z, labels = some_rows["scores"].astype(np.float64), some_rows["labels"]
    if scores == "probabilities":
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        sure = np.eye(3)[labels]
        found = [p, sure, np.roll(sure, 1, axis=1), np.full_like(p, 1 / 3), 2 * p, 0 * p]
    else:
        shut = z.copy()
        shut[:, 1] = -np.inf
        found = [z, 1e4 * z, 1e300 * z, 0 * z, shut, np.full_like(z, np.nan)]
    return [
        *({"scores": each, "labels": labels} for each in found),
        {"scores": found[0], "labels": labels + 100},
        {"scores": found[0], "labels": np.zeros_like(labels)},
        {"scores": found[0][:1], "labels": labels[:1]},
        {"scores": found[0][:0], "labels": labels[:0]},
    ]
