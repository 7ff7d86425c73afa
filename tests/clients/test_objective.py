"""Objectives and schedules from the SDK."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

from lossd_client import AsyncClient, BadOption, Balance, Client, Schedule, Term

TENSORS = {
    "z": np.array([[2.0, 0.5, -1.0], [0.1, 1.2, 0.3], [0.4, -0.2, 0.9]]),
    "y": np.array([0, 1, 2]),
    "w": {"a": np.array([1.0, -2.0]), "b": np.array([0.5])},
}
TERMS = [
    Term("cross_entropy", {"logits": "z", "labels": "y"}, "main", rows="y > 0"),
    Term(
        "focal",
        {"logits": "z", "labels": "y"},
        "focal",
        weight=Schedule("linear", start=0.0, end=1.0, steps=10),
        params={"gamma": Schedule("constant", value=1.5)},
    ),
    Term("l2_penalty", {"weights": "w"}, weight=0.01),
]


@pytest.fixture(params=["blocking", "asynchronous"])
def ask(request: pytest.FixtureRequest, url: str) -> Any:
    """Calls a method of either client."""

    async def wait(method: str, *args: Any, **named: Any) -> Any:
        async with AsyncClient(url) as client:
            return await getattr(client, method)(*args, **named)

    def block(method: str, *args: Any, **named: Any) -> Any:
        if request.param == "asynchronous":
            return asyncio.run(wait(method, *args, **named))
        with Client(url) as client:
            return getattr(client, method)(*args, **named)

    return block


def test_an_objective_is_what_json_answers(ask: Any, http: httpx.Client) -> None:
    outputs = ["value", "gradients", "norms", "shares", "cosines", "rows", "term_gradients"]
    found = ask("objective", TERMS, TENSORS, step=4, outputs=outputs)
    terms = [
        {"name": "main", "loss": "cross_entropy", "inputs": {"logits": "z", "labels": "y"},
         "rows": "y > 0"},
        {"name": "focal", "loss": "focal", "inputs": {"logits": "z", "labels": "y"},
         "weight": 0.4, "params": {"gamma": 1.5}},
        {"loss": "l2_penalty", "inputs": {"weights": "w"}, "weight": 0.01},
    ]  # fmt: skip
    tensors = {
        "z": TENSORS["z"].tolist(),
        "y": TENSORS["y"].tolist(),
        "w": {k: x.tolist() for k, x in TENSORS["w"].items()},
    }
    body = {"tensors": tensors, "terms": terms, "outputs": outputs, "dtype": "float64"}
    want = http.post("/v1/objectives", json=body).json()
    assert found.value == want["value"] and found.step == 4 and found.state == {}
    assert np.array_equal(found.gradients["z"], want["gradients"]["z"])
    assert np.array_equal(found.gradients["w"]["a"], want["gradients"]["w"]["a"])
    assert list(found.terms) == ["main", "focal", "2"]
    for name, term in found.terms.items():
        said = want["terms"][name]
        assert term.value == said["value"] and term.weight == said["weight"]
        assert term.weighted_value == said["weighted_value"]
        assert term.result.loss == said["loss"] and term.result.gradients
        assert set(term.norms) == set(term.shares) != set()
    assert found.terms["main"].selected.tolist() == [1, 2]
    assert found.terms["main"].result.rows.shape == (2,)
    assert found.cosine_terms == {"z": ["main", "focal"]}
    assert found.cosines["z"].shape == (2, 2) and found.conflicts == []


def test_a_state_goes_in_and_out(ask: Any) -> None:
    follows = Schedule("loss_ratio", of="main", ratio=1.0)
    terms = [TERMS[0], Term("l2_penalty", {"weights": "w"}, "decay", weight=follows)]
    first = ask("objective", terms, TENSORS)
    assert first.state and first.terms["decay"].weight > 0
    second = ask("objective", terms, TENSORS, state=first.state)
    assert second.state and second.terms["decay"].weight == pytest.approx(
        first.terms["decay"].weight
    )


def test_a_fault_of_a_term_names_its_place(ask: Any) -> None:
    with pytest.raises(BadOption) as caught:
        ask("objective", [Term("cross_entropy", TERMS[0].inputs, rows="y >")], TENSORS)
    assert caught.value.at is not None and caught.value.at.startswith("terms[0].rows")


def test_a_schedule_is_a_curve(ask: Any) -> None:
    found = ask("schedule", Schedule("linear", start=0.0, end=1.0, steps=4), range(5))
    assert found.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_terms_are_balanced_and_the_state_goes_on(ask: Any) -> None:
    balance = Balance("gradvac", shared=["z"], seed=1)
    first = ask("objective", TERMS, TENSORS, step=4, balance=balance)
    assert first.balance["weights"].keys() == {"main", "focal"} and first.state["balance"]
    second = ask("objective", TERMS, TENSORS, step=5, balance=balance, state=first.state)
    assert second.state["balance"]["step"] == first.state["balance"]["step"] + 1
    assert len(second.balance["certificate"]["cosines"]) == 2


def test_a_state_of_other_terms_is_refused(ask: Any) -> None:
    with pytest.raises(BadOption) as caught:
        ask("objective", TERMS, TENSORS, step=4, state={"weights": {"decay": {}}})
    assert caught.value.at == "state.weights.decay"
    with pytest.raises(BadOption) as caught:
        ask("objective", TERMS, TENSORS, step=4, state={"balance": {}})
    assert caught.value.at == "state.balance"
    with pytest.raises(BadOption) as caught:
        ask("objective", TERMS, TENSORS, step=4, state={"other": {}})
    assert caught.value.at == "state"
