"""Lint says what is wrong with outputs, and is silent on healthy ones."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from audit.chunks import outputs
from lossd.audit import Audit, Setup
from lossd.audit.metrics import Finding

ROWS, CLASSES = 3_000, 10
WELL_KNOWN = {"like_training_rows"}  # which a model of great skill may look like


def linted(scores: Any, labels: Any, /, **options: Any) -> dict[str, Finding]:
    with Audit(Setup(metrics=("lint",), **options), threads=1) as audit:
        audit.add(scores, labels)
        return {each.code: each for each in audit.report().findings}


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def healthy(seed: int = 0, classes: int = CLASSES) -> tuple[Any, Any]:
    found = outputs(ROWS, classes, seed=seed)
    return found["scores"], found["labels"]


DIGITS = load_digits()
MODELS = {
    "regression": lambda: LogisticRegression(C=0.01, max_iter=300),
    "neighbours": lambda: KNeighborsClassifier(7),
    "bayes": GaussianNB,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_real_models_on_rows_they_have_not_seen_are_fine(name: str, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(DIGITS.target))
    seen, unseen = order[:900], order[900:]
    model = MODELS[name]().fit(DIGITS.data[seen] / 16, DIGITS.target[seen])
    p = model.predict_proba(DIGITS.data[unseen] / 16)
    labels = DIGITS.target[unseen]
    assert not linted(p, labels, scores="probabilities")
    if name == "regression":
        assert not linted(model.decision_function(DIGITS.data[unseen] / 16), labels)


@pytest.mark.parametrize("classes", [2, 3, 10, 200])
@pytest.mark.parametrize("skill", [0.0, 0.5, 2.0, 6.0])
def test_models_of_any_skill_are_fine(classes: int, skill: float) -> None:
    for seed in range(8):
        found = outputs(400 + 37 * seed, classes, seed=seed, skill=skill)
        z, labels = found["scores"], found["labels"]
        halves = softmax(z).astype(np.float16)
        assert not linted(z, labels).keys() - WELL_KNOWN
        assert not linted(halves, labels, scores="probabilities").keys() - WELL_KNOWN


@pytest.mark.parametrize("seed", range(10))
def test_few_rows_and_rare_classes_are_fine(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.minimum(random.geometric(0.6, 150) - 1, 9)
    z = random.normal(size=(150, 10))
    z[:, 0] += 1.5  # the model leans to the frequent class
    assert not linted(z, labels)


def test_log_probabilities_sent_as_logits_are_harmless() -> None:
    z, labels = healthy()
    (found,) = linted(np.log(softmax(z)), labels).values()
    assert (found.code, found.severity) == ("scores_like_log_probabilities", "info")


def test_probabilities_sent_as_logits() -> None:
    z, labels = healthy()
    (found,) = linted(softmax(z), labels).values()
    assert (found.code, found.severity) == ("scores_like_probabilities", "error")
    assert found.count == ROWS and len(found.ids) == 10


@pytest.mark.parametrize("digits", [2, 3])
@pytest.mark.parametrize("classes", [2, 3, CLASSES, 30])
def test_rounded_probabilities_are_known_as_such(classes: int, digits: int) -> None:
    z, labels = healthy(classes=classes)
    for dtype in (np.float32, np.float64):
        rounded = np.round(softmax(z).astype(np.float64), digits).astype(dtype)
        (found,) = linted(rounded, labels).values()
        assert (found.code, found.severity) == ("scores_like_probabilities", "error")
        assert not linted(rounded, labels, scores="probabilities")


def test_rounding_is_no_excuse_for_sums_beyond_it() -> None:
    z, labels = healthy()
    p = np.round(softmax(z).astype(np.float64), 2)
    p[[7, 9], labels[[7, 9]]] = 1 - p.sum(1)[[7, 9]] + p[[7, 9], labels[[7, 9]]]
    p[7, labels[7]] -= 0.06
    p[9, labels[9]] -= 0.012345
    (found,) = linted(p, labels, scores="probabilities").values()
    assert (found.code, sorted(found.ids)) == ("probabilities_do_not_sum_to_one", [7, 9])


def test_logits_between_zero_and_one_are_no_probabilities() -> None:
    z, labels = healthy(classes=2)
    assert not linted(1 / (1 + np.exp(-z)), labels)


def test_logits_sent_as_probabilities() -> None:
    z, labels = healthy()
    found = linted(z, labels, scores="probabilities")
    assert found["scores_outside_probabilities"].severity == "error"


def test_log_probabilities_sent_as_probabilities() -> None:
    z, labels = healthy()
    found = linted(np.log(softmax(z)), labels, scores="probabilities")
    assert found["scores_like_log_probabilities"].severity == "error"


def test_probabilities_that_do_not_sum_to_one_are_counted_and_named() -> None:
    z, labels = healthy()
    p = softmax(z).astype(np.float64)
    p[7] *= 0.9
    (found,) = linted(p, labels, scores="probabilities").values()
    assert (found.code, found.ids, found.count) == ("probabilities_do_not_sum_to_one", (7,), 1)
    assert "0.9" in found.sentence


def test_rows_of_equal_scores_are_counted_and_named() -> None:
    z, labels = healthy()
    z[[3, 5]] = 1.25
    (found,) = linted(z, labels).values()
    assert found.code == "equal_scores" and sorted(found.ids) == [3, 5]


def test_one_prediction_for_all_rows() -> None:
    z, labels = healthy()
    z[:, 4] += 100
    found = linted(z, labels, classes=tuple("abcdefghij"))
    assert "'e'" in found["constant_prediction"].sentence
    assert found["constant_prediction"].severity == "error"


def test_a_calibrated_model_of_a_rare_event_is_no_error() -> None:
    random = np.random.default_rng(3)
    rare = random.beta(0.3, 100, 20_000)  # the probability of the event, never above a half
    labels = (random.random(20_000) < rare).astype(np.int64)
    z = np.log(np.stack([1 - rare, rare], 1))
    found = linted(z, labels)
    assert {each.severity for each in found.values()} == {"info"}
    blind = linted(z - np.array([0.0, 20.0]), labels)
    assert blind["constant_prediction"].severity == "error"  # it rules out what does come
    worse = np.where(random.random(20_000) < 0.2, 1 - labels, labels)
    assert linted(z, worse)["constant_prediction"].severity == "error"


def test_the_same_scores_for_all_rows() -> None:
    z, labels = healthy()
    found = linted(np.broadcast_to(z[0], z.shape), labels)
    assert found.keys() == {"constant_scores"}


def test_scores_of_absurd_magnitude() -> None:
    z, labels = healthy()
    assert linted(1e6 * z, labels)["absurd_magnitude"].severity == "warning"
    masked = z.copy()
    masked[np.arange(ROWS), (labels + 1) % CLASSES] = -1e9
    assert not linted(masked, labels), "a class that is ruled out by a large negative score is fine"


@pytest.mark.parametrize("shift", [1, -1, 3])
@pytest.mark.parametrize("classes", [3, 10, 300, 2_000])
def test_shifted_classes(shift: int, classes: int) -> None:
    if classes == 3 and shift == 3:
        shift = 1
    found = outputs(ROWS, classes, skill=5.0)
    (one,) = linted(np.roll(found["scores"], shift, 1), found["labels"]).values()
    assert one.code == "shifted_classes"
    by = "one" if abs(shift) == 1 else "3"
    assert f"{by} {'above' if shift > 0 else 'below'} the labels" in one.sentence


def test_labels_that_count_from_one() -> None:
    z, labels = healthy()
    (found,) = linted(z, np.where(labels == 9, 9, labels + 1)).values()
    assert found.code in ("shifted_classes", "permuted_classes")


@pytest.mark.parametrize("seed", range(5))
def test_permuted_classes_are_named(seed: int) -> None:
    z, labels = healthy(seed)
    order = np.random.default_rng(seed).permutation(CLASSES)
    (found,) = linted(z[:, order], labels, classes=tuple("abcdefghij")).values()
    assert found.code == "permuted_classes"
    a, b = "abcdefghij"[order[0]], "a"
    moved = [k for k in range(CLASSES) if order[k] != k]
    first = min(order[k] for k in moved)
    a, b = "abcdefghij"[first], "abcdefghij"[int(np.flatnonzero(order == first)[0])]
    assert f"{a!r} is predicted as {b!r}" in found.sentence


def test_two_swapped_classes_of_ten_are_found() -> None:
    z, labels = healthy()
    z[:, [2, 6]] = z[:, [6, 2]]
    (found,) = linted(z, labels).values()
    assert found.code == "permuted_classes"
    assert "'2' is predicted as '6', '6' is predicted as '2';" in found.sentence


def test_a_class_that_is_mostly_taken_for_another_is_no_permutation() -> None:
    z, labels = healthy()
    z[labels == 2, 6] += 2.5
    assert not linted(z, labels)


def test_row_numbers_that_repeat_are_counted_and_named() -> None:
    z, labels = healthy()
    with Audit(metrics=("lint",), threads=1) as audit:
        audit.add(z, labels)
        audit.add(z[:5], labels[:5], first_row=0)
        (found,) = audit.report().findings
    assert (found.code, found.count, sorted(found.ids)) == ("repeated_row_numbers", 5, [*range(5)])


def test_row_numbers_that_repeat_are_estimated_from_a_sample() -> None:
    z, labels = healthy()
    with Audit(metrics=("lint",), most_sampled=500, threads=1) as audit:
        audit.add(z[:2_000], labels[:2_000])
        audit.add(z[2_000:], labels[2_000:], first_row=0)
        (found,) = audit.report().findings
    assert found.count == pytest.approx(1_000, rel=0.25)
    assert found.sentence.startswith("About ")


def test_rows_that_a_model_knows_too_well() -> None:
    z, labels = healthy()
    z[np.arange(ROWS), labels] += 30
    (found,) = linted(z, labels).values()
    assert (found.code, found.severity) == ("like_training_rows", "info")


def test_two_classes_that_are_swapped() -> None:
    z, labels = healthy(classes=2)
    (found,) = linted(z, 1 - labels, classes=("no", "yes")).values()
    assert "'no' is predicted as 'yes', 'yes' is predicted as 'no';" in found.sentence
