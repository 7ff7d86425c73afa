"""Gradients that the SDK makes of a recipe, before and after the answer is there."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lossd_client import Client, _recipe
from lossd_client._recipe import Exponentials, rebuild
from lossd_client.errors import BadRequest

HARD = {"weights": "", "targets": "labels", "smoothing": 0.0}
SOFT = {**HARD, "smoothing": 0.1}
ROWS, CLASSES = 300, 40


def problem(scale: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(int(scale))
    logits = (scale * random.standard_normal((ROWS, CLASSES))).astype(np.float32)
    logits[3, 1:] = -np.inf
    labels = random.integers(0, CLASSES, ROWS)
    labels[3] = 0
    return logits, labels


def told(logits: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-sum-exps and factors, as of a mean in which the last row does not count."""
    wide = logits.astype(np.float64)
    most = wide.max(1)
    factor = np.full(len(wide), 1 / len(wide))
    factor[-1] = 0.0
    log_sum_exp = np.log(np.exp(wide - most[:, None]).sum(1)) + most
    log_sum_exp[-1] = 0.0
    return log_sum_exp, factor


@pytest.mark.parametrize("scale", [1.0, 20.0, 1000.0])
def test_logits_of_any_size_give_the_gradient(scale: float) -> None:
    logits, labels = problem(scale)
    log_sum_exp, factor = told(logits)
    sent = {"logits": logits, "labels": np.r_[labels[:-1], -100]}
    found = rebuild(Exponentials(sent, None), HARD, log_sum_exp, factor)
    true = np.exp(logits[:-1].astype(np.float64) - log_sum_exp[:-1, None])
    true[np.arange(ROWS - 1), labels[:-1]] -= 1
    np.testing.assert_allclose(found[:-1], true * factor[:-1, None], rtol=1e-5, atol=3e-7 / ROWS)
    assert not found[-1].any()


@pytest.mark.parametrize("recipe", [HARD, SOFT], ids=["labels", "smoothed"])
def test_the_number_of_threads_shows_in_no_bit(
    recipe: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, labels = problem(20.0)
    answer = told(logits)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(_recipe, "MOST_THREADS", threads)
        monkeypatch.setattr(_recipe, "ELEMENTS_PER_THREAD", 1)
        monkeypatch.setattr(_recipe, "BLOCK_ELEMENTS", 10 * CLASSES)
        monkeypatch.setattr("os.cpu_count", lambda: 3)
        found.append(rebuild(Exponentials({"logits": logits, "labels": labels}, None), recipe,
                             *answer))  # fmt: skip
    assert found[0].tobytes() == found[1].tobytes()


def test_exponentials_are_made_once_whoever_wants_them_first() -> None:
    logits, labels = problem(1.0)
    first, second = (Exponentials({"logits": logits, "labels": labels}, None) for _ in range(2))
    first.make_ahead()
    first.make_ahead()
    results = [rebuild(each, HARD, *told(logits)) for each in (first, second)]
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize(
    ("logits", "labels", "class_axis"),
    [
        (np.ones((2, 3)), [0, 1], 7),
        (np.ones(3), [0], None),
        (np.float32(1), 0, None),
        ([], [], None),
        ({"a": np.ones((2, 3))}, [0, 1], None),
    ],
    ids=["axis", "vector", "number", "nothing", "group"],
)
def test_what_is_wrong_is_said_by_the_service(
    url: str, logits: Any, labels: Any, class_axis: int | None
) -> None:
    with Client(url) as client, pytest.raises(BadRequest):
        client.compute("cross_entropy", logits=logits, labels=labels, class_axis=class_axis,
                       gradient_form="recipe")  # fmt: skip


def test_a_call_that_failed_may_be_made_again(url: str) -> None:
    logits, labels = problem(1.0)
    with Client(url) as client:
        with pytest.raises(Exception, match="labels"):
            client.compute("cross_entropy", logits=logits, labels=labels + CLASSES,
                           gradient_form="recipe")  # fmt: skip
        asked = {"logits": logits, "labels": labels}
        dense = client.compute("cross_entropy", inputs=asked).gradients["logits"]
        rebuilt = client.compute("cross_entropy", inputs=asked, gradient_form="recipe")
        np.testing.assert_allclose(rebuilt.gradients["logits"], dense, rtol=1e-5, atol=1e-9)
        only = client.compute("cross_entropy", inputs=asked, gradient_form="recipe",
                              outputs=["value"])  # fmt: skip
        assert only.gradients == {} and only.value == pytest.approx(rebuilt.value)
