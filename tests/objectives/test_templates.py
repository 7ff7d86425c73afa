"""Ready-made objectives: each one's example runs, and its gradient is that of its expression."""

import httpx
import pytest
import torch

from lossd.objectives.compute import compute_objective
from lossd.objectives.ready import TEMPLATES, find_template
from objective_bodies import objective_of
from template_expressions import EXPRESSIONS

every_template = pytest.mark.parametrize("name", TEMPLATES)


@every_template
def test_its_value_and_gradient_are_those_of_the_same_expression(name: str) -> None:
    body = TEMPLATES[name].body | {"dtype": "float64"}
    objective = objective_of(body)
    got = compute_objective(objective)
    leaves = {key: x.clone() for key, x in objective.tensors.items()}
    for key in got.gradients:
        leaves[key] = leaves[key].double().requires_grad_()
    reals = {key: x.double() if x.is_floating_point() else x for key, x in leaves.items()}
    value = EXPRESSIONS[name](reals)
    assert got.value == pytest.approx(value.item(), rel=1e-10, abs=1e-10)
    assert got.gradients
    want = torch.autograd.grad(value, [leaves[key] for key in got.gradients])
    for x, y in zip(got.gradients.values(), want, strict=True):
        assert x.dtype == torch.float64
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-10)


@every_template
def test_its_body_is_answered(http: httpx.Client, name: str) -> None:
    said = http.get(f"/v1/objectives/{name}").json()
    assert all(said[key] for key in ("summary", "formula", "source", "notes"))
    reply = http.post("/v1/objectives", json=said["body"])
    assert reply.status_code == 200, reply.text
    assert reply.json()["terms"].keys() == {each["name"] for each in said["body"]["terms"]}
    outputs = ["value", "gradients", "norms", "shares", "cosines", "rows", "term_gradients"]
    assert http.post("/v1/objectives", json=said["body"] | {"outputs": outputs}).is_success


@every_template
def test_every_term_of_it_has_a_name_and_is_finite(name: str) -> None:
    body = TEMPLATES[name].body
    assert all("name" in each for each in body["terms"])
    got = compute_objective(objective_of(body))
    assert all(x.isfinite().all() for x in got.gradients.values())
    assert any(x.any() for x in got.gradients.values())


def test_they_are_listed_without_their_bodies(http: httpx.Client) -> None:
    listed = http.get("/v1/objectives").json()["objectives"]
    assert [each["name"] for each in listed] == list(TEMPLATES)
    assert all("body" not in each for each in listed)


def test_an_unknown_one_is_not_found(http: httpx.Client) -> None:
    reply = http.get("/v1/objectives/fast_rnn")
    assert reply.status_code == 404 and reply.json()["expected"] == "fast_rcnn"
    assert find_template("fast_rcnn").name == "fast_rcnn"
