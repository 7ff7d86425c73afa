"""Two audits side by side: the same rows are found, and what changed is said truly."""

import json
from typing import Any

import numpy as np
import pytest

from audit.chunks import audited, everything, outputs, setup_of_everything, some
from lossd.audit import Audit, Setup, State, load
from lossd.audit.compare import compare
from lossd.errors import BadOption

ROWS = 4_000


def worse(fields: dict[str, Any], noise: float = 0.7, seed: int = 9) -> dict[str, Any]:
    """The outputs of another model for the same rows."""
    z = fields["scores"]
    other = z + np.random.default_rng(seed).normal(scale=noise, size=z.shape).astype(np.float32)
    return fields | {"scores": other}


def with_ids(rows: int, classes: int = 6, *, first: int = 0, seed: int = 0) -> dict[str, Any]:
    return outputs(rows, classes, seed=seed) | {"ids": np.arange(first, first + rows)}


def state(*parts: Any, **options: Any) -> State:
    return audited(Setup(has_ids=True, **options), *parts).state()


A = with_ids(ROWS)
B = worse(A)


def truth(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """What the arrays themselves say."""
    labels = a["labels"]
    right = [each["scores"].argmax(1) == labels for each in (a, b)]
    z = [each["scores"].astype(np.float64) for each in (a, b)]
    losses = [np.log(np.exp(each).sum(1)) - each[np.arange(len(labels)), labels] for each in z]
    return {
        "right_to_wrong": int((right[0] & ~right[1]).sum()),
        "wrong_to_right": int((right[1] & ~right[0]).sum()),
        "accuracy": right[1].mean() - right[0].mean(),
        "loss": losses[1].mean() - losses[0].mean(),
        "lost": set(np.flatnonzero(right[0] & ~right[1]).tolist()),
    }


def test_the_same_rows_are_compared_pair_by_pair_in_any_order() -> None:
    order = np.random.default_rng(1).permutation(ROWS)
    found = compare(state(A), state(some(B, order)))
    want = truth(A, B)
    assert found["pairing"]["paired"] and found["pairing"]["complete"]
    assert found["pairing"]["rows"] == ROWS and found["pairing"]["jaccard"] == 1
    assert found["accuracy"]["difference"] == pytest.approx(want["accuracy"], abs=1e-12)
    assert found["loss"]["difference"] == pytest.approx(want["loss"], rel=1e-9)
    for way in ("right_to_wrong", "wrong_to_right"):
        assert found["accuracy"][way] == found["flips"][way]["count"] == want[way]
    lost = found["flips"]["right_to_wrong"]["ids"]
    assert len(lost) == 10 and set(lost) <= want["lost"]


def test_pairs_know_more_than_two_samples_do() -> None:
    found = compare(state(A), state(B))
    paired, apart = found["accuracy"], found["all_rows"]["accuracy"]
    assert paired["minimum_detectable"] < 0.8 * apart["minimum_detectable"]
    assert not apart["paired"] and paired["paired"]


def test_a_comparison_is_the_same_whatever_the_shards() -> None:
    whole = compare(state(A), state(B))
    parts = [some(B, slice(i, None, 3)) for i in range(3)]
    merged = State(Setup(has_ids=True))
    for each in parts:
        merged.merge(load(state(each).save()))
    assert compare(state(A), merged) == whole


def test_partly_matching_rows_are_counted() -> None:
    found = compare(state(some(A, slice(0, 3_000))), state(some(B, slice(1_000, None))))
    pairing = found["pairing"]
    assert pairing["rows"] == 2_000 and pairing["jaccard"] == 0.5
    assert pairing["share_of_baseline"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_samples_are_coordinated(seed: int) -> None:
    ids = np.random.default_rng(seed).permutation(10**6)[:ROWS]
    a, b = A | {"ids": ids}, B | {"ids": ids}
    first = state(some(a, slice(0, 3_000)), most_sampled=500)
    second = state(some(b, slice(1_000, None)), most_sampled=700)
    found = compare(first, second)
    pairing = found["pairing"]
    assert pairing["paired"] and not pairing["complete"]
    low, high = pairing["jaccard_interval"]
    assert low < 0.5 < high or abs(pairing["jaccard"] - 0.5) < 0.08
    assert 250 < pairing["rows"] < 420, "half of about 667 ids that both samples know whole"
    assert found["accuracy"]["interval"][0] - 0.02 < truth(a, b)["accuracy"]
    assert "a sample by hash" in found["sentences"][0]


def test_without_ids_rows_are_the_same_by_number_if_labels_agree() -> None:
    fields = [{key: each[key] for key in ("scores", "labels")} for each in (A, B)]
    first, second = (audited(Setup(), each).state() for each in fields)
    found = compare(first, second)
    assert found["pairing"]["by"] == "row numbers" and found["pairing"]["paired"]
    shuffled = some(fields[1], np.random.default_rng(2).permutation(ROWS))
    other = compare(first, audited(Setup(), shuffled).state())
    assert not other["pairing"]["paired"]
    assert "labels under the same row number differ" in other["sentences"][0]
    assert other["accuracy"]["paired"] is False and other["flips"] is None


def test_few_rows_that_are_the_same_do_not_stand_for_all() -> None:
    healthy = with_ids(ROWS, seed=1)
    poor = with_ids(ROWS, first=ROWS, seed=2) | {"scores": outputs(ROWS, 6, skill=0)["scores"]}
    kept = {key: np.concatenate([healthy[key][:300], poor[key][300:]]) for key in healthy}
    found = compare(state(healthy), state(kept))
    assert found["pairing"]["rows"] == 300 and found["pairing"]["paired"]
    assert not found["pairing"]["covers"] and found["flips"]["changed"] == 0
    for name in ("accuracy", "loss"):
        assert found[name] == found["all_rows"][name] and not found[name]["paired"]
    assert found["accuracy"]["interval"][1] < -0.3 and found["confidence"] is None
    assert all(each["accuracy"]["difference"] < -0.3 for each in found["per_class"]["listed"])
    assert "do not stand for all rows" in found["sentences"][1]


def test_few_new_rows_do_not_hide_behind_pairs() -> None:
    new = with_ids(150, first=ROWS, seed=2)
    new["scores"][np.arange(150), new["labels"]] = -50
    kept = {key: np.concatenate([A[key][150:], new[key]]) for key in A}
    found = compare(state(A), state(kept))
    assert found["pairing"]["covers"]
    assert found["accuracy"] == found["all_rows"]["accuracy"]
    assert found["loss"] == found["all_rows"]["loss"]


def test_a_class_of_new_rows_is_not_compared_by_its_few_old_ones() -> None:
    of_one = np.flatnonzero(A["labels"] == 1)
    few = np.setdiff1d(np.arange(ROWS), of_one[120:])  # of 120 rows, 60 will be others
    a = some(A, few)
    b = a | {"ids": a["ids"].copy(), "scores": a["scores"].copy()}
    at = np.flatnonzero(a["labels"] == 1)[:60]
    b["ids"][at] += ROWS
    b["scores"][at, 1] = -50
    found = compare(state(a), state(b))
    assert found["pairing"]["covers"]
    each = {one["class"]: one["accuracy"] for one in found["per_class"]["listed"]}
    assert each["1"]["difference"] < -0.3 and not each["1"]["paired"] and each["2"]["paired"]


def test_other_rows_of_the_same_ids_are_not_the_same_rows() -> None:
    found = compare(state(A), state(with_ids(ROWS, seed=5)))
    assert not found["pairing"]["paired"] and found["flips"] is None
    assert "have another label" in found["sentences"][0]


def test_other_rows_without_ids_are_not_the_same_where_both_files_are_sorted() -> None:
    both = []
    for seed in (1, 2):
        fields = outputs(ROWS, 5, seed=seed)
        labels = np.arange(ROWS) * 5 // ROWS
        scores = np.random.default_rng(seed).normal(size=(ROWS, 5))
        scores[np.arange(ROWS), labels] += 2
        both.append(audited(Setup(), fields | {"labels": labels, "scores": scores}).state())
    found = compare(*both)
    assert not found["pairing"]["paired"] and found["flips"] is None
    assert "unrelated" in found["sentences"][0]
    assert compare(both[0], both[0])["pairing"]["covers"]


UNPAIRED = {
    "other ids": lambda: (state(A), state(with_ids(ROWS, first=ROWS, seed=3))),
    "ids of another kind": lambda: (state(A), state(A | {"ids": A["ids"].astype(np.str_)})),
    "no sample": lambda: (state(A), state(A, metrics=("accuracy", "loss"))),
    "one without ids": lambda: (
        state(A),
        audited(Setup(), {k: A[k] for k in ("scores", "labels")}).state(),
    ),
}


@pytest.mark.parametrize("name", UNPAIRED)
def test_rows_that_do_not_match_are_compared_as_two_samples(name: str) -> None:
    found = compare(*UNPAIRED[name]())
    assert not found["pairing"]["paired"] and found["pairing"]["reason"]
    assert found["accuracy"]["paired"] is False and found["loss"]["paired"] is False
    assert found["flips"] is None
    json.dumps(found, allow_nan=False)


def test_relabelled_rows_and_repeated_ids_are_left_out_and_counted() -> None:
    labels = B["labels"].copy()
    labels[:7] = (labels[:7] + 1) % 6
    ids = B["ids"].copy()
    ids[10] = ids[11]
    found = compare(state(A), state(B | {"labels": labels, "ids": ids}))
    assert found["pairing"]["labels_differ"] == 7
    assert found["pairing"]["repeated_ids"] == 1
    assert found["pairing"]["rows"] == ROWS - 7 - 2
    assert "7 more have other labels" in found["sentences"][1]


def test_a_model_beside_itself_did_not_change() -> None:
    found = compare(state(A), state(A))
    assert found["accuracy"]["difference"] == 0 and found["accuracy"]["mid_p"] == 1
    assert found["loss"]["interval"] == [0, 0]
    assert found["flips"]["changed"] == 0
    assert all(each["ks"] == 0 and each["psi"] == 0 for each in found["drift"].values())
    assert not any("moved" in each or "lost" in each for each in found["sentences"])


def test_intervals_of_equal_models_hold_nothing_as_often_as_they_say() -> None:
    held, seeds = {"accuracy": 0, "loss": 0}, 60
    for seed in range(seeds):
        base = with_ids(400, seed=100 + seed)
        a, b = (worse(base, seed=k + 1_000 * seed) for k in (1, 2))
        found = compare(state(a), state(b))
        for name in held:
            low, high = found[name]["interval"]
            held[name] += low <= 0 <= high
    assert min(held.values()) >= 0.87 * seeds


def test_slices_and_classes_are_compared_one_by_one() -> None:
    fields = everything(ROWS, 4)
    changed = worse(fields, 0.1)
    at = fields["slices"]["country"] == "pt"
    changed["scores"][at] = np.roll(changed["scores"][at], 1, 1)
    setup = setup_of_everything()
    found = compare(audited(setup, fields).state(), audited(setup, changed).state())
    worst = found["slices"]["country"]["listed"][0]
    assert worst["value"] == "pt" and worst["accuracy"]["interval"][1] < -0.3
    others = found["slices"]["country"]["listed"][1:]
    assert all(abs(each["accuracy"]["difference"]) < 0.05 for each in others)
    assert len(found["per_class"]["listed"]) == 4
    assert any("slice 'country'" in each and "'pt'" in each for each in found["sentences"])


def test_drift_of_scores_and_classes_is_said() -> None:
    cold = A | {"scores": A["scores"] / 20}
    few = np.flatnonzero(A["labels"] != 2)
    found = compare(state(A), state(some(cold, few)))
    assert found["drift"]["confidence"]["psi"] > 1 and found["drift"]["confidence"]["ks"] > 0.5
    assert found["class_shares"]["label"]["largest"][0]["class"] == "2"
    assert any("The distribution of confidence moved" in each for each in found["sentences"])


def test_another_loss_is_not_compared() -> None:
    found = compare(state(A), state(A, loss="focal"))
    assert not found["same_loss"] and found["loss"] is None and "loss" not in found["drift"]
    assert found["accuracy"]["paired"]


BAD = {
    "other number of classes": lambda: (state(A), state(with_ids(50, 5)), "candidate.classes"),
    "other names": lambda: (
        state(A, classes=tuple("abcdef")),
        state(A, classes=tuple("abcdfe")),
        "candidate.classes[4]",
    ),
    "no rows": lambda: (state(A), State(Setup(has_ids=True)), "candidate"),
    "no usable rows": lambda: (state(A | {"labels": A["labels"] + 100}), state(A), "baseline"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_compared_is_refused(name: str) -> None:
    a, b, at = BAD[name]()
    with pytest.raises(BadOption) as caught:
        compare(a, b)
    assert caught.value.at == at


FEW = some(A, slice(0, 400))
EXTREMES = {
    "usual": FEW,
    "sure": FEW | {"scores": 1e4 * FEW["scores"]},
    "huge": FEW | {"scores": 1e300 * FEW["scores"].astype(np.float64)},
    "equal": FEW | {"scores": 0 * FEW["scores"]},
    "one row": some(A, slice(0, 1)),
    "impossible": FEW | {"scores": np.where(FEW["scores"] < 1, -np.inf, FEW["scores"])},
    "NaN": FEW | {"scores": np.where(FEW["scores"] > 2, np.nan, FEW["scores"])},
}


@pytest.mark.parametrize("name", EXTREMES)
def test_a_comparison_is_strict_json_whatever_the_rows(name: str) -> None:
    usual, other = state(FEW), state(EXTREMES[name])
    for found in (compare(usual, other), compare(other, usual), compare(other, other)):
        json.dumps(found, allow_nan=False)
        assert found["sentences"] and all(each.endswith(".") for each in found["sentences"])


def test_names_that_are_ids_of_other_widths_match() -> None:
    names = np.array([f"row {i}" for i in range(300)])
    a, b = (some(each, slice(0, 300)) for each in (A, B))
    with Audit(Setup(has_ids=True), threads=1) as audit:
        audit.add(**(some(b, slice(0, 9)) | {"ids": names[:9]}))
        audit.add(**(some(b, slice(9, None)) | {"ids": names[9:]}))
        found = compare(state(a | {"ids": names}), audit.state())
    assert found["pairing"]["rows"] == 300
