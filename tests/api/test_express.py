"""A call like one before takes a shorter way, which shows in nothing but the time."""

from typing import Any

import httpx
import orjson
import pytest

from lossd.losses import CATALOG

LOGITS, LABELS = [[2.0, 0.5, -1.25], [0.125, 1.5, 3.0]], [0, 2]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"outputs": ["value", "rows", "gradients"]},
    {"outputs": ["value"]},
    {"reduction": "sum", "params": {"label_smoothing": 0.125}},
    {"reduction": "none", "outputs": ["rows"]},
    {"gradient_form": "row_norms"},
    {"dtype": "float64"},
]


def post(http: httpx.Client, loss: str, body: dict[str, Any]) -> httpx.Response:
    return http.post(
        f"/v1/losses/{loss}",
        content=orjson.dumps(body),
        headers={"content-type": "application/json"},
    )


def call(**more: Any) -> dict[str, Any]:
    return {"inputs": {"logits": LOGITS, "labels": LABELS}, **more}


@pytest.mark.parametrize("name", CATALOG)
def test_the_second_answer_is_the_first_to_the_byte(http: httpx.Client, name: str) -> None:
    example = CATALOG[name].example
    body = {"inputs": dict(example.inputs), "params": dict(example.params)}
    first, *others = (post(http, name, body) for _ in range(3))
    assert first.is_success and {each.content for each in others} == {first.content}
    body["outputs"] = ["value", "rows"]
    assert len({(each.status_code, each.content) for each in
                (post(http, name, body) for _ in range(3))}) == 1  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_other_numbers_get_the_answer_that_they_get_first(
    http: httpx.Client, options: dict[str, Any]
) -> None:
    moved = [[x * 1.5 for x in row] for row in LOGITS]
    first = post(http, "cross_entropy", call(**options) | {"inputs": {
        "labels": LABELS, "logits": moved}})  # fmt: skip
    for _ in range(2):
        post(http, "cross_entropy", call(**options))
        again = post(http, "cross_entropy", call(**options) | {"inputs": {
            "logits": moved, "labels": LABELS}})  # fmt: skip
        assert again.json() == first.json()
        phases = [each.split(";")[0] for each in again.headers["server-timing"].split(", ")]
        assert phases == ["read", "parse", "queue", "compute", "serialize"]


@pytest.mark.parametrize(
    ("inputs", "at"),
    [
        ({"labels": [0, 3]}, "inputs.labels"),
        ({"labels": [-1, 0]}, "inputs.labels"),
        ({"labels": [0.5, 1]}, "inputs.labels"),
        ({"labels": [0, 1, 2]}, "inputs.labels"),
        ({"logits": [[1e39, 0.5, 1.0], [1.5, 2.0, 3.0]]}, "inputs.logits"),
        ({"logits": [["NaN", 0.5, 1.0], [1.5, 2.0, 3.0]]}, "inputs.logits"),
        ({"logits": [[0.5, 1.0], [1.5, 2.0, 3.0]]}, "inputs.logits"),
        ({"logits": [[True, 0.5, 1.0], [1.5, 2.0, 3.0]]}, "inputs.logits"),
    ],
)
def test_what_is_wrong_is_named_however_often_it_was_right(
    http: httpx.Client, inputs: dict[str, Any], at: str
) -> None:
    for _ in range(3):
        assert post(http, "cross_entropy", call()).is_success
    reply = post(http, "cross_entropy", {"inputs": {"logits": LOGITS, "labels": LABELS} | inputs})
    assert 400 <= reply.status_code < 500 and reply.json()["at"].startswith(at)


def test_integers_and_infinities_are_answered_as_ever(http: httpx.Client) -> None:
    whole = {"inputs": {"logits": [[2, 0, -1], [0, 1, 3]], "labels": LABELS}}
    first = post(http, "cross_entropy", whole)
    post(http, "cross_entropy", call())
    assert post(http, "cross_entropy", whole).json() == first.json()
    huge = {"inputs": {"prediction": [3e38, 1.5], "target": [-3e38, 1.0]}}
    answers = [post(http, "l1", huge).content for _ in range(3)]
    assert len(set(answers)) == 1
